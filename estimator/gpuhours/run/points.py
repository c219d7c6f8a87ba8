"""The points of the unit cube at which samples are drawn, evenly spread and the same in every run, and the share of the variance due to
each coordinate.

Runs that are sampled are drawn at the points of a lattice, ranges of stated inputs at points around their centre: an estimate is computed
at the centre, and these spread evenly for any number of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS, GENERATOR = 509, 147
CENTRED = 128
"""Number of points beside the centre."""
BINS = 16
ORDER = """
63 462 109 339 285 88 209 119 367 208 388 338 251 454 153 68 221 349 124 312 313 490 84 376 451 147 296 303 385 481 483 380 15 423 387 446
440 54 273 212 291 5 222 306 358 71 75 145 55 41 2 350 321 142 404 416 133 220 229 361 353 199 189 412 148 281 386 160 111 219 409 340 356
52 90 326 27 264 18 39 357 181 223 252 198 98 320 365 500 495 316 345 448 329 83 445 202 201 167 274 89 355 94 85 196 19 200 256 250 136 499
99 38 232 327 155 478 103 295 494 389 342 461 164 36 371 126 485 482 493 379 284 166 372 278 93 395 261 298 396 44 242 359 439 408 77 31 32
161 162 137 334 410 336 460 382 121 411 286 227 366 310 206 272 474 214 0 378 43 195 46 235 159 128 182 254 407 10 399 92 225 203 498 70 393
325 455 107 419 397 185 141 205 293 413 433 437 45 507 466 47 418 492 236 253 255 354 305 465 496 114 123 150 33 144 246 452 434 292 471 415
17 168 140 116 277 244 324 420 456 117 402 348 122 106 299 503 42 210 506 262 335 72 74 12 347 26 157 64 269 216 186 91 53 204 459 25 190 8
491 328 383 374 266 234 428 65 477 6 398 61 178 330 375 373 429 13 97 297 248 484 213 132 158 173 443 118 337 130 290 308 391 343 450 259 37
28 149 9 300 4 48 476 230 60 331 151 469 453 197 432 226 67 174 102 417 82 50 138 464 179 35 394 152 171 14 23 243 346 139 247 271 249 233
80 170 406 309 267 100 96 508 368 475 265 87 435 218 362 215 405 131 16 403 105 421 192 488 110 113 30 1 194 129 502 172 468 257 501 258 360
470 177 457 112 11 381 231 304 165 180 51 426 344 135 279 400 20 294 228 238 311 276 34 283 370 224 57 154 392 40 364 479 175 211 22 275 505
134 436 108 322 260 217 467 81 79 183 480 401 239 341 427 3 430 458 143 449 414 66 163 76 237 363 489 156 146 390 323 193 280 245 24 472 59
441 21 318 442 188 431 384 444 62 301 86 319 125 282 307 101 240 49 58 187 169 424 352 486 317 268 207 241 288 56 473 302 314 270 73 422 263
497 115 287 191 104 176 333 332 7 487 447 351 69 369 127 377 78 120 315 438 29 425 184 504 289 463 95
"""
"""The integers below ``DRAWS`` in random order (NumPy's PCG64, seed 0). Written out, since NumPy may change what a seed gives, and since to
import its generators takes a fortieth of an estimate."""


def lattice(dimensions: int) -> NDArray[np.float64]:
    """``[dimensions, DRAWS]`` points in the unit cube: a rank-1 lattice, x_j(i) = frac(i a^j / n + 1/2n).

    n = 509 is prime; a = 147 gives the best separation of every pair of the first 15 dimensions (Zaremba's index 27, searched over all a).
    Source: Korobov 1959, Doklady Akademii Nauk 124; Sloan and Joe 1994, Lattice methods for multiple integration, section 4.
    """
    multipliers = np.array([pow(GENERATOR, power, DRAWS) for power in range(dimensions)])
    return np.mod(np.outer(multipliers, np.arange(DRAWS)) / DRAWS + 0.5 / DRAWS, 1.0)


def shuffled() -> NDArray[np.int64]:
    """``[DRAWS]`` indices in random order, the same in every run: what is drawn in this order is independent of the lattice's points."""
    return np.array(ORDER.split(), dtype=np.int64)


def centred_points(dimensions: int, draws: int = CENTRED) -> NDArray[np.float64]:
    """``[dimensions, 1 + draws]`` points in the unit cube: the centre first, then an additive recurrence with low discrepancy.

    u_j(i) = frac(1/2 + i / phi^(j+1)), phi the root of x^(d+1) = x + 1.
    Source: Roberts 2018, The unreasonable effectiveness of quasirandom sequences.
    """
    phi = 2.0
    for _ in range(30):
        phi = (1 + phi) ** (1 / (dimensions + 1))
    steps = phi ** -(1.0 + np.arange(dimensions))[:, np.newaxis]
    return np.mod(0.5 + np.arange(1 + draws) * steps, 1.0)


def first_order(position: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Sobol's first-order index from given data: Var(E[y | x]) / Var(y), x in ``BINS`` bins, minus the value expected by chance.

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
