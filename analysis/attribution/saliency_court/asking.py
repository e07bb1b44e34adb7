"""What every trial of maps asks for."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.attribution import backgrounds, targets
from analysis.features.readers import AUTOMATIC, READERS
from analysis.spec import param

FEWEST = 8  # samples
NUMBERS = (targets.LOGIT, targets.DIFFERENCE, targets.LOG_PROBABILITY)
TAP, THE_INPUT = "the tap", "the network's input"
FILLS = (backgrounds.MEAN, backgrounds.ZERO)
ALL, A_HANDFUL = "all", "a handful"
HANDFUL = (
    "gradient x input",
    "Grad-CAM",
    "NormGrad",
    "integrated gradients",
    "occlusion",
)  # one of each sort
OPENING, PASS_SECONDS, PASS_WORK = 5.0, 1e-3, 2.0e6  # to open a network; one pass of a small one


@dataclass(frozen=True)
class CourtParams:
    ways: str | None = param(
        None, "Names of ways to a map, with commas between; automatic: all that keep within the budget.", late=True
    )  # fmt: skip
    budget: int = param(
        100, "Most passes through the network that one map of one way may take.", low=2, high=1_000_000,
        label="passes for a map", late=True,
    )  # fmt: skip
    site: str = param(
        TAP, "Where maps lie; of a probe always the rows of the tap.", label="maps of", choices=(TAP, THE_INPUT),
        late=True,
    )  # fmt: skip
    number: str = param(
        targets.DIFFERENCE, "Number of the answer that is explained; a difference is to the second answer.",
        label="number explained", choices=NUMBERS, late=True,
    )  # fmt: skip
    answer: int | None = param(
        None, "Output whose number it is; automatic: the likeliest of each sample.", low=0, high=1_000_000, late=True
    )  # fmt: skip
    background: str = param(
        backgrounds.MEAN, "What stands where something is taken away.", choices=FILLS, late=True
    )
    background_samples: int = param(20, "Samples that the mean is made of.", low=1, high=1000, late=True)
    samples: int = param(16, "Samples, drawn at random.", low=FEWEST, high=1000, late=True)
    steps: int = param(12, "Slopes along the way from the background.", low=1, high=500, late=True)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS, late=True)
    column: str | None = param(
        None, "Labels of a probe; automatic: 'label' where there is one.", column=True, late=True
    )


@dataclass(frozen=True)
class CurvesCourtParams(CourtParams):
    """Of trials with a curve for each way, of which few can be told apart."""

    ways: str | None = param(
        A_HANDFUL, f"Names of ways to a map, with commas between; '{A_HANDFUL}': {', '.join(HANDFUL)}; '{ALL}': all "
        "that keep within the budget.", late=True,
    )  # fmt: skip
