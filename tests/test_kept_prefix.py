"""Sweeps that run only what comes after their first change: the same numbers, fewer blocks, nothing left behind."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.attribution import targets
from analysis.errors import Cancelled, InputError
from analysis.interventions.batch_run import BatchRun, _chunks
from analysis.interventions.components import ATTENTION, HEADS, LAYERS, MLPS, RESIDUALS, Site
from analysis.interventions.finding_parts import network_parts
from analysis.interventions.interventions import Intervention, patched, zeroed
from analysis.interventions.kept_prefix import Prefix
from analysis.interventions.many_targets import many_targets
from analysis.interventions.pairs import taken
from analysis.sources.loaded_model import LoadedModel

torch = pytest.importorskip("torch")
from test_interventions import hooks, hugging_face  # noqa: E402


def left(module) -> int:
    return hooks(module) + sum("forward" in vars(m) for m in module.modules())


def ran(module, names) -> tuple[list[str], list]:
    """Names of blocks, as a module inside each runs."""
    known = dict(module.named_modules())
    inside = {n: next(m for m in known[n].modules() if not any(True for _ in m.children())) for n in names}
    seen: list[str] = []
    return seen, [m.register_forward_hook(lambda *_, n=n: seen.append(n)) for n, m in inside.items()]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "bert", "vit", "resnet"])
def test_a_sweep_is_what_each_cell_alone_is_and_earlier_blocks_do_not_run(kind):
    model, inputs = hugging_face(kind)
    known = network_parts(model, inputs)
    run = BatchRun(model, inputs, known.blocks or known.layers)
    kinds = (RESIDUALS, HEADS, ATTENTION, MLPS) if known.blocks else (LAYERS,)
    parts = known.components(*kinds)
    other = taken(inputs, np.arange(4)[::-1].copy())
    source = BatchRun(model, other).caught([s for c in parts for s in c.sites])
    cells = [patched(c, source) for c in parts]
    target = many_targets(run, targets.LOGIT, 1)
    alone = np.concatenate([BatchRun(model, inputs).answers([c], target.of) for c in cells])
    assert np.ptp(alone) > 1e-3
    np.testing.assert_allclose(run.answers(cells, target.of), alone, atol=1e-6)
    last = [c for c in cells if c[0].site == Site(run.blocks[-1])] or cells[-1:]
    seen, handles = ran(model.module, run.blocks)
    run.answers(last * 4, target.of)  # one pass to know what blocks give, none for the cells
    for handle in handles:
        handle.remove()
    assert seen == list(run.blocks)
    assert left(model.module) == 0


def test_what_all_cells_begin_with_is_in_what_is_kept():
    """Noise on the embedding is the same for every cell: blocks behind it are kept with it."""
    model, inputs = hugging_face("gpt2")
    known = network_parts(model, inputs)
    run, plain = BatchRun(model, inputs, known.blocks), BatchRun(model, inputs)
    site = Site(known.embedding)
    shape = tuple(run.caught([site])[site].shape)
    noise = Intervention(site, np.random.default_rng(0).standard_normal(shape), way="add")
    cells = [(noise, *zeroed(c)) for c in known.components(RESIDUALS, MLPS)]
    target = many_targets(run, targets.LOGIT, 1)
    alone = np.concatenate([plain.answers([c], target.of) for c in cells])
    np.testing.assert_allclose(run.answers(cells, target.of), alone, atol=1e-6)
    other = [(Intervention(site, noise.values, way="add"), *c[1:]) for c in cells]  # not known to be the same
    np.testing.assert_allclose(run.answers(other, target.of), alone, atol=1e-6)


class Shortcut(torch.nn.Module):
    """A layer by that name beside two others, all of which add up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.shortcut, self.second = (torch.nn.Linear(4, 4) for _ in range(3))
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.head(self.second(h) + self.shortcut(x))


def test_a_layer_beside_the_others_is_not_left_out(rng):
    """Its place in the order is that of its run: patching it leaves what ran before it, whatever it is called."""
    model = LoadedModel(Shortcut().double().eval(), "array", None)
    inputs = torch.as_tensor(rng.standard_normal((10, 4)))
    known = network_parts(model, inputs)
    assert set(known.layers) == {"first", "second", "shortcut"}
    run = BatchRun(model, inputs, known.layers)
    cells = [zeroed(c) for c in known.components(LAYERS)] * 2
    target = many_targets(run, targets.LOGIT, 1)
    m = model.module
    x = {n: run.caught([Site(n)])[Site(n)][:, 0] for n in ("first", "shortcut", "second")}
    with torch.no_grad():
        zero = torch.zeros_like(x["first"])
        expected = {
            "first": m.head(m.second(zero) + x["shortcut"]), "shortcut": m.head(x["second"] + zero),
            "second": m.head(zero + x["shortcut"]),
        }  # fmt: skip
    found = dict(zip(known.layers * 2, run.answers(cells, target.of), strict=True))
    for name in known.layers:
        np.testing.assert_allclose(found[name], expected[name][:, 1].numpy(), atol=1e-12, err_msg=name)


def test_blocks_that_run_twice_or_give_more_than_a_tensor_are_run_as_ever(rng):
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)

        def forward(self, x):
            return self.b(torch.relu(self.a(torch.relu(self.a(x)))))

    class Pair(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x), None

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = Pair(3, 3), torch.nn.Linear(3, 3)

        def forward(self, x):
            return self.b(self.a(x)[0])

    for kind in (Twice, Two):
        model = LoadedModel(kind().double().eval(), "array", None)
        x = torch.as_tensor(rng.standard_normal((5, 3)))
        run, plain = BatchRun(model, x, ("a", "b")), BatchRun(model, x)
        cells = [(Intervention(Site(n), v),) for n in "ab" for v in (0.0, 1.0, -1.0)]
        target = many_targets(run, targets.LOGIT, 1)
        np.testing.assert_array_equal(run.answers(cells, target.of), plain.answers(cells, target.of))


def test_a_sweep_cut_off_half_way_leaves_nothing():
    model, inputs = hugging_face("gpt2")
    known = network_parts(model, inputs)
    run = BatchRun(model, inputs, known.blocks)
    before = run.logits.clone()
    cells = [zeroed(c) for c in known.components(RESIDUALS)] * 3
    target = many_targets(run, targets.LOGIT, 1)

    def stop(share, _doing=""):
        if share > 0.3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        run.answers(cells, target.of, rows=4, progress=stop)
    assert left(model.module) == 0
    bad = [*cells[:4], (Intervention(cells[0][0].site, np.ones(5)),)]  # does not fit its site
    with pytest.raises((InputError, RuntimeError)):
        run.answers(bad, target.of, rows=4)
    assert left(model.module) == 0
    reader = run.logits_with(cells, rows=4)
    next(reader)
    assert left(model.module) == 0  # in between, too
    reader.close()
    torch.testing.assert_close(BatchRun(model, inputs).logits, before, rtol=0, atol=0)


def test_cells_go_together_up_to_where_the_next_ones_begin():
    assert list(_chunks([1, 1, 1, 2, 2, 2], 3)) == [(0, 3, 1), (3, 6, 2)]
    assert list(_chunks([1, 1, 2, 2, 2], 4)) == [
        (0, 2, 1),
        (2, 5, 2),
    ]  # half full: not worth an earlier block
    assert list(_chunks([1, 2, 3, 0], 8)) == [(0, 4, 0)]
    assert list(_chunks([], 8)) == []
    blocks = Prefix(("h.0", "h.1"))
    assert [blocks.unchanged([s]) for s in (Site("h.0"), Site("h.0", "input"), Site("h.1.mlp"), Site("norm"))] == [
        1, 0, 1, 0,
    ]  # fmt: skip
    assert blocks.unchanged([Site("h.10")]) == 0  # no block of that name is meant
