"""Samples of a tap run from their input to the tap: in their network, or, where that cannot be run, at the tap itself.

The site is the network's input, of texts the embedding of their words. Of plain arrays the tokens of the tap are the
input, and what is read of them is their mean.
"""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.attribution.one_sample.tap_vector import TapVector, vector_of
from analysis.attribution.sample_run import INPUT, SampleRun
from analysis.errors import InputError, NotFound
from analysis.sources.hooked_run import hooked_run
from analysis.sources.loaded_model import LoadedModel

ITSELF = "tap"


class TapRuns:
    """`what` is run, in words; `module` gives the tap; `notes`."""

    def __init__(self, tap: Activations, loaded: LoadedModel, data, module: str, what: str, notes=()) -> None:
        self.tap, self.loaded, self.module, self.what, self.notes = tap, loaded, module, what, tuple(notes)
        self._data, self._site = data, ""

    @property
    def is_network(self) -> bool:
        return self._data is not None

    def rows(self, sample: int) -> np.ndarray:
        """(tokens, units) float64 of the tap, finite ones."""
        at = np.arange(*self.tap.layout.offsets[sample : sample + 2])
        x = np.asarray(self.tap.take(at), np.float64)
        return x[np.isfinite(x).all(axis=1)]

    def item(self, sample: int):
        return self._data.items(sample, sample + 1)[0] if self.is_network else self.rows(sample)

    def run(self, sample: int) -> SampleRun:
        """Of the sample, by its place in the store, at the input."""
        item = self.item(sample)
        if not self._site:
            self._site = input_site(self.loaded, item)
        return SampleRun(self.loaded, item, self._site)

    def vector(self, run: SampleRun, sample: int) -> TapVector:
        """What the tap holds of the sample, as it follows from the run. Raises InputError where it does not."""
        given = run.caught(self.module).detach().double().numpy()
        return vector_of(self.module, given, self.rows(sample), self.tap.name)


def tap_runs(tap: Activations) -> TapRuns:
    """The network of a stored tap; where it cannot be run, the tap itself, with the reason among the notes."""
    why = ()
    if getattr(tap, "store", None) is not None:
        from analysis.sources.rerun import rerun

        try:
            found = rerun(tap, tap.layout.n_samples, partial=True)
            module = tap.name.partition(":")[2] or tap.name
            if module not in dict(found.loaded.module.named_modules()):
                raise NotFound(f"the network has no module '{module}'", "the name of a module")
            return TapRuns(
                tap, found.loaded, found.data, module, f"the network ({type(found.loaded.module).__name__})"
            )
        except (InputError, NotFound) as refused:
            why = (f"The network cannot be run here: {refused.found}.",)
    said = "What is exchanged are the tokens of the tap itself, read by their mean: no network is run."
    return TapRuns(tap, _itself(), None, ITSELF, "the tap itself", (*why, said))


def _itself() -> LoadedModel:
    import torch

    module = torch.nn.Sequential()
    module.add_module(ITSELF, torch.nn.Identity())
    return LoadedModel(module, "array", lambda items: torch.as_tensor(np.stack(items)))


def input_site(loaded: LoadedModel, item) -> str:
    """ "input" where it holds real numbers, else the name of the embedding of words. Raises InputError."""
    try:
        return SampleRun(loaded, item, INPUT).site
    except InputError as refused:
        import torch

        own = getattr(loaded.module, "get_input_embeddings", lambda: None)()
        for name, module in loaded.module.named_modules():
            if module is own or (own is None and isinstance(module, torch.nn.Embedding)):
                return name
        raise refused


def map_of(run: SampleRun, module: str):
    """What `module` gives for the sample as it is: (tokens, units) float64, and its grid (height, width) where it is a
    map, or where its tokens without up to eight leading ones fill a square; else None."""
    with hooked_run(run.loaded.module, (module,)) as caught:
        run.loaded.forward(run.inputs)
    raw, given = caught[module], run.caught(module).detach().double().numpy()
    if raw.ndim == 4:
        return given, tuple(map(int, raw.shape[-2:])), 0
    if run.grid is not None:
        for leading in range(min(9, len(given) - 1)):
            side = round((len(given) - leading) ** 0.5)
            if side > 1 and side * side == len(given) - leading:
                return given, (side, side), leading
    return given, None, 0
