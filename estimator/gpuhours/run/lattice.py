"""The points that a sample is drawn at, and how much of a spread each coordinate carries."""

from __future__ import annotations

import numpy as np

from gpuhours.run.sampling import Draws

DRAWS, GENERATOR = 509, 147
BINS = 16
SHUFFLED = np.frombuffer(
    bytes.fromhex(
        "3f00ce016d0053011d015800d10077006f01d00084015201fb00c60199004400dd005d017c0038013901ea0154007801c301930028012f01"
        "8101e101e3017c010f00a7018301be01b80136001101d40023010500de003201660147004b0091003700290002005e0141018e009401a001"
        "8500dc00e50069016101c700bd009c01940019018201a0006f00db0099015401640134005a0046011b000801120027006501b500df00fc00"
        "c600620040016d01f401ef013c015901c00149015300bd01ca00c900a7001201590063015e005500c4001300c8000001fa008800f3016300"
        "2600e80047019b00de0167002701ee0185015601cd01a400240073017e00e501e201ed017b011c01a600740116015d008b0105012a018c01"
        "2c00f2006701b70198014d001f002000a100a20089004e019a015001cc017e0179009b011e01e3006e013601ce001001da01d60000007a01"
        "2b00c3002e00eb009f008000b600fe0097010a008f015c00e100cb00f201460089014501c7016b00a3018d01b9008d00cd0025019d01b101"
        "b5012d00fb01d2012f00a201ec01ec00fd00ff0062013101d101f00172007b00960021009000f600c401b2012401d7019f011100a8008c00"
        "74001501f4004401a401c801750092015c017a006a002b01f7012a00d200fa0106014f0148004a000c005b011a009d0040000d01d800ba00"
        "5b003500cc00cb011900be000800eb0148017f0176010a01ea00ac014100dd0106008e013d00b2004a0177017501ad010d0061002901f800"
        "e401d50084009e00ad00bb017600510182002201340187015701c201030125001c00950009002c0104003000dc01e6003c004b019700d501"
        "c501c500b001e2004300ae006600a101520032008a00d001b30023008a019800ab000e001700f3005a018b00f7000f01f900e9005000aa00"
        "960135010b0164006000fc017001db0109015700b301da006a01d70095018300100093016900a501c000e8016e0071001e000100c2008100"
        "f601ac00d4010101f50102016801d601b100c90170000b007d01e7003001a500b4003300aa01580187001701900114002601e400ee003701"
        "140122001b017201e00039009a00880128006c01df01af00d30016001301f9018600b4016c0042010401d900d30151004f00b700e0019101"
        "ef005501ab010300ae01ca018f00c1019e014200a3004c00ed006b01e9019c00920086014301c1001801f5001800d8013b00b90115003e01"
        "ba01bc00af018001bc013e002d0156003f017d001a0133016500f00031003a00bb00a900a8016001e6013d010c01cf00f10020013800d901"
        "2e013a010e014900a6010701f10173001f01bf006800b0004d014c010700e701bf015f01450071017f0079014e0078003b01b6011d00a901"
        "b800f8012101cf015f00"
    ),
    "<u2",
).astype(int)
"""The draws in an order that knows nothing of theirs: ``numpy.random.default_rng(0).permutation(DRAWS)``, without loading its package."""


def lattice(dimensions: int) -> Draws:
    """``[dimensions, DRAWS]`` points in the unit cube: a rank-1 lattice, x_j(i) = frac(i a^j / n + 1/2n).

    n = 509 is prime; a = 147 keeps every pair of the first 15 dimensions apart best (Zaremba's index 27, searched over all a).
    Source: Korobov 1959, Doklady Akademii Nauk 124; Sloan and Joe 1994, Lattice methods for multiple integration, section 4.
    """
    multipliers = np.array([pow(GENERATOR, power, DRAWS) for power in range(dimensions)])
    found: Draws = np.mod(np.outer(multipliers, np.arange(DRAWS)) / DRAWS + 0.5 / DRAWS, 1.0)
    return found


def first_order(position: Draws, value: Draws) -> float:
    """Sobol's first-order index from given data: Var(E[y | x]) / Var(y), x in ``BINS`` bins, less what bins of chance alone give.

    Source: Plischke, Borgonovo, Smith 2013, Global sensitivity measures from given data, EJOR 226(3), section 3.
    """
    total = float(np.var(value))
    if total <= 0:
        return 0.0
    bins = np.minimum((position * BINS).astype(int), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    mean = np.bincount(bins, value, minlength=BINS) / np.maximum(count, 1)
    between = float(np.sum(count * (mean - np.mean(value)) ** 2) / len(value))
    within = total - between
    chance = within * (BINS - 1) / (len(value) - BINS)
    return float(np.clip((between - chance) / total, 0.0, 1.0))
