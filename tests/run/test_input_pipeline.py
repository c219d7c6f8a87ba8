"""Whether the input pipeline delivers data in time."""

from __future__ import annotations

import pytest

from gpuhours.data import Data
from gpuhours.hardware.clusters import cluster
from gpuhours.run.input_pipeline import InputPipeline, core_seconds, decoding, feed, warning

FOUR_NODES = cluster("a100-sxm-80gb", "dgx-a100-80gb", 32)
VIDEOMAE = Data(frames=16, fps=4.0)
"""2,048 clips of 16 frames in 1.445 s: VideoMAE-Huge's 3.5 weeks."""


def test_videomae_huge_wants_22700_frames_a_second() -> None:
    fed = feed(InputPipeline(), VIDEOMAE, 2048, 1.445, FOUR_NODES)
    assert fed is not None
    assert fed.frames_per_second == pytest.approx(22_700, rel=0.01)


@pytest.mark.parametrize(
    ("pipeline", "binds"),
    [
        (InputPipeline(), False),
        (InputPipeline(stored_fps=30.0), False),
        (InputPipeline(stored_fps=30.0, frame_pixels=1920 * 1080.0), True),
        (InputPipeline(decoder="gpu", stored_fps=30.0, frame_pixels=1920 * 1080.0), True),
        (InputPipeline(decoder="none", sample_bytes=250e3), False),
        (InputPipeline(decoder="none", sample_bytes=250e6, storage_bandwidth=2e9), True),
    ],
)
def test_what_binds_a_run(pipeline: InputPipeline, binds: bool) -> None:
    fed = feed(pipeline, VIDEOMAE, 2048, 1.445, FOUR_NODES)
    assert fed is not None
    said = warning(fed, 1.445)
    assert (said is not None and "binds" in said) is binds, said


def test_torchvision_decodes_about_a_hundred_images_a_second_and_core() -> None:
    assert 1 / core_seconds(InputPipeline(), Data(frames=1)) == pytest.approx(118, rel=0.4)


def test_text_has_no_input_pipeline() -> None:
    assert feed(InputPipeline(), Data(seq_len=2048), 512, 1.0, FOUR_NODES) is None


def test_more_cores_never_slow() -> None:
    times = [feed(InputPipeline(cores_per_gpu=cores), VIDEOMAE, 2048, 1.445, FOUR_NODES) for cores in (2, 4, 8)]
    assert [fed.time for fed in times if fed] == sorted((fed.time for fed in times if fed), reverse=True)


def test_every_figure_has_its_ends_around_it() -> None:
    for figure in (decoding().video_core, decoding().transform, decoding().image, decoding().hardware_decoder):
        assert figure.low < figure.value < figure.high
        assert len(figure.source) > 20
