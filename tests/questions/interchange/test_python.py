"""Python and notebooks: what a value stands for, what is left open, and files that are no notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuhours.inputs.errors import EstimateError
from gpuhours.questions.interchange import notebooks, shell
from gpuhours.questions.interchange.importing import import_files
from gpuhours.questions.interchange.python_calls import arguments
from tests.conftest import Command

BATCH = "per_device_train_batch_size"


def test_a_tokenizer_does_not_name_the_model() -> None:
    found = arguments(
        'tokens = AutoTokenizer.from_pretrained("gpt2", model_max_length=512)\n'
        'model = transformers.AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.1-8B")\n'
        'tuned = PeftModel.from_pretrained(model, "outputs")'
    )
    assert found == {"model_name_or_path": "meta-llama/Llama-3.1-8B"}


@pytest.mark.parametrize(
    ("before", "inside", "said"),
    [
        ("batch = 4\ndef debug():\n    batch = 1", "batch", 4),
        ("batch = 4\nclass Small:\n    batch = 1", "batch", 4),
        ("batch: int = 4", "batch", 4),
        ("small, batch = 2, 4", "batch", 4),
        ("a = 2\nb = a", "b * 2", 4),
        ("", "2 * 3", 6),
        ("", "2**40", 2**40),
        ("gpus, whole = 8, 512", "whole // gpus // 4", 16),
        ("batch = 4\nbatch = 8", "batch", "batch: assigned more than once"),
        ("batch = 4\nbatch += 1", "batch", "batch: assigned more than once"),
        ("for batch in (1, 2): pass", "batch", "batch: computed in the script"),
        ("batch = 4\ndef debug():\n    global batch\n    batch = 1", "batch", "batch: assigned more than once"),
        ("batch = 4\nfrom sizes import batch", "batch", "batch: assigned more than once"),
        ("batch = 4\nmatch x:\n    case [batch]: pass", "batch", "batch: assigned more than once"),
        ("batch = 4\ndel batch", "batch", "batch: assigned more than once"),
        ("batch = int(sys.argv[1])", "batch", "int(sys.argv[1]): computed in the script"),
        ("", "args.bs", "args.bs: computed in the script"),
        ("", "8 // 0", "8 // 0: computed in the script"),
        ("", "9**9**9", "9 ** 9 ** 9: computed in the script"),
        ("", "10**99", "10 ** 99: computed in the script"),
        ("a = a", "a", "a: computed in the script"),
    ],
)
def test_what_a_value_stands_for(before: str, inside: str, said: object) -> None:
    assert arguments(f"{before}\nTrainingArguments({BATCH}={inside})") == {BATCH: said}


@pytest.mark.parametrize("step", ["{a} + {a}", "[{a}, {a}]"])
def test_values_that_double_end(step: str) -> None:
    """45 doublings: 10^13 parts, were each taken apart."""
    lines = [f"n{number + 1} = {step.format(a=f'n{number}')}" for number in range(45)]
    found = arguments("\n".join(["n0 = 1", *lines, f"TrainingArguments({BATCH}=n45)"]))
    assert len(str(found)) < 200


def test_a_function_sees_its_own_constants_before_the_modules() -> None:
    text = f"batch = 4\ndef main():\n    batch = 2\n    TrainingArguments({BATCH}=batch)"
    assert arguments(text) == {BATCH: 2}
    given = f"batch = 4\ndef main(batch=1):\n    TrainingArguments({BATCH}=batch)"
    assert arguments(given) == {BATCH: "batch: computed in the script"}


def test_two_values_of_one_argument_are_left_open(tmp_path: Path) -> None:
    path = tmp_path / "tune.py"
    path.write_text(
        f"first = TrainingArguments({BATCH}=4, num_train_epochs=1, bf16=args.bf16)\n"
        f"second = TrainingArguments({BATCH}=8, num_train_epochs=1, gradient_accumulation_steps=args.n)\n"
    )
    found = import_files([path])
    assert found.origins[0].not_understood == (
        f"{BATCH} = 4 or 8: the script says both",
        "gradient_accumulation_steps = args.n: computed in the script",
        "bf16 = args.bf16: computed in the script",
    )
    assert found.data == {"data": {"epochs": 1.0}, "software": "huggingface-trainer"}


def test_a_trainer_that_runs_a_model_more_often_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "tune.py"
    for trainer, listed in (("SFTTrainer", ()), ("DPOTrainer", ("trainer = DPOTrainer",))):
        path.write_text(f"{trainer}(model, args=TrainingArguments({BATCH}=4, num_train_epochs=1))")
        assert import_files([path]).origins[0].not_understood == listed


def test_what_is_turned_off_is_not_read() -> None:
    assert arguments(
        f"if False:\n    a = TrainingArguments({BATCH}=4)\nelse:\n    b = TrainingArguments({BATCH}=2)"
    ) == {BATCH: 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"cells": 5}', "no list of cells"),
        ('{"cells": {"a": 1}}', "no list of cells"),
        ("[1]", "no list of cells"),
        ('{"cells": [{"cell_type": "markdown"}, 3]}', "cells[1]"),
        ('{"cells": [null]}', "cells[0]"),
        ('{"cells": [{"cell_type": "code", "source": null}]}', "cells[0].source"),
        ('{"cells": [{"cell_type": "code", "source": [1]}]}', "cells[0].source"),
        ('{"cells": [{"cell_type": "code"}]}', "cells[0].source"),
        ('{"cells": [', "not JSON"),
        ('{"worksheets": []}', "nbconvert --to notebook"),
        ('{"cells": []}', "no known arguments"),
        ("{" * 9, "not JSON"),
        ('{"cells": [{"cell_type": "code", "source": "def f("}, {"cell_type": "code", "source": "x="}]}', "is Python"),
    ],
)
def test_what_is_no_notebook_is_refused(gpuhours_command: Command, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tune.ipynb"
    path.write_text(text)
    found = gpuhours_command("import", str(path))
    assert found.code == 2
    assert said in found.err
    assert str(path) in found.err


def test_lines_that_only_notebooks_understand_do_nothing() -> None:
    """One cell that is no Python leaves the others readable."""
    sources = [
        "%%capture\nimport torch\n!pip install -q \\\n    unsloth",
        "%%bash\necho $HOME && ls",
        "files = !ls\nTrainer?\nif True:\n    %time\n",
        "this is no Python",
        f"TrainingArguments({BATCH}=2)",
    ]
    text = json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]})
    assert arguments(*notebooks.code(text, "a.ipynb")) == {BATCH: 2, "not read": "code cell 3"}


def test_a_notebook_may_launch_a_program(tmp_path: Path) -> None:
    path = tmp_path / "tune.ipynb"
    launch = (
        f"!pip install --upgrade x\n!torchrun --nproc_per_node=8 train.py \\\n  --{BATCH} 4 --num_train_epochs 1 --bf16"
    )
    cells = [launch, f"TrainingArguments({BATCH}=2)"]
    for sources, batch in ((cells[:1], 4), (cells, 2)):
        path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": one} for one in sources]}))
        found = import_files([path])
        assert found.data["layout"] == {"microbatch": batch}
        assert found.origins[0].not_understood == (() if len(sources) == 1 else ("not read = shell commands",))


@pytest.mark.parametrize("rest", ["**options", "**{'num_train_epochs': 2, **more}"])
def test_no_default_stands_for_what_may_be_said_elsewhere(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "tune.py"
    for said, training in (("bf16=True, ", {"training": {"dtype": "bf16"}}), ("", {})):
        path.write_text(f"\ufeffTrainingArguments({said}gradient_checkpointing=True, {rest})", encoding="utf-8")
        found = import_files([path])
        assert found.origins[0].not_understood[0].startswith("not read = **")
        assert found.data == training | {"layout": {"recompute": "full"}, "software": "huggingface-trainer"}
    known = arguments(f"more = dict({BATCH}=4)\nTrainingArguments(bf16=True, **more)")
    assert known == {"bf16": True, BATCH: 4}


def test_python_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(EstimateError, match=r"old.py:1"):
        arguments('print "two"', where="old.py")


def test_the_shell_still_divides_whole_numbers() -> None:
    assert shell.sum_of_whole("7 / 2") == 3
    assert arguments(f"TrainingArguments({BATCH}=7 / 2)") == {BATCH: 3.5}
