"""What a pushed network says: against its own greedy texts, written out token by token."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.errors import InputError, NotFound
from analysis.features.readers import PROBE
from analysis.interventions.components import Site
from analysis.interventions.continuations import Said, continued, said
from analysis.methods.attribution.steering_transcripts import (
    SteeringTranscriptsParams,
    _by_way,
    steering_transcripts,
)

torch = pytest.importorskip("torch")
from test_interventions import hooks, hugging_face  # noqa: E402

SITE = Site("transformer.h.1")


def by_hand(model, ids, push, length):
    """Greedy, one token at a time, with a hook of its own; and what the network says of it without."""
    module = dict(model.module.named_modules())[SITE.module]
    rows = torch.as_tensor(ids)[None]
    with torch.no_grad():
        for _ in range(length):
            handle = module.register_forward_hook(lambda *given: given[-1] + torch.as_tensor(push).float())
            try:
                z = model.module(input_ids=rows).logits[0, -1]
            finally:
                handle.remove()
            rows = torch.cat([rows, z.argmax()[None, None]], dim=1)
        log_p = torch.log_softmax(model.module(input_ids=rows).logits[0].double(), dim=-1)
    new = rows[0, len(ids) :]
    each = [float(log_p[len(ids) - 1 + k, t]) for k, t in enumerate(new)]
    return new.numpy(), np.mean(each)


def test_texts_are_greedy_and_a_push_is_on_all_tokens(rng):
    model, _ = hugging_face("gpt2")
    ids = np.array([3, 7, 1, 12])
    pushes = np.concatenate([np.zeros((1, 12)), rng.standard_normal((3, 12)) * 3])
    written, fluency = continued(model, ids, SITE, pushes, 5)
    for k, push in enumerate(pushes):
        text, log_p = by_hand(model, ids, push, 5)
        np.testing.assert_array_equal(written[k], text)
        assert fluency[k] == pytest.approx(log_p, abs=1e-5)
    assert len({tuple(w) for w in written}) > 1  # a push does something
    assert hooks(model.module) == 0


def test_every_way_begins_with_no_push():
    x = np.arange(2 * 7).reshape(2, 7)  # two samples; none, then three pushes along each of two ways
    found = _by_way(x, 2)
    np.testing.assert_array_equal(found[0, :, 1], [7, 8, 9, 10])
    np.testing.assert_array_equal(found[1, :, 1], [7, 11, 12, 13])
    np.testing.assert_array_equal(Said(np.array([[[1, 2], [1, 3]]]), None, ()).turned, [[0, 0.5]])


def test_a_text_that_the_network_cannot_hold_is_refused():
    model, _ = hugging_face("gpt2")
    prepare = lambda items: {"input_ids": torch.as_tensor(np.stack(items))}  # noqa: E731
    loaded = SimpleNamespace(**{**vars(model), "preparer": prepare, "prepare": prepare, "token_mask": lambda _: None,
                                "text_inputs": SimpleNamespace(limit=16), "run": model.run})  # fmt: skip
    samples = SimpleNamespace(
        is_network=True, loaded=lambda _: loaded, samples=[0, 1], item=lambda _: np.arange(12)
    )
    bench = SimpleNamespace(samples=samples, site=SITE)
    with pytest.raises(InputError, match="16 more tokens"):
        said(bench, np.zeros((1, 12)), 8, 16, lambda *_: None, (0, 1))
    found = said(bench, np.zeros((2, 12)), 8, 10, lambda *_: None, (0, 1))
    assert found.written.shape == (2, 2, 10)  # six of the tokens stand before
    assert found.prompts[0].split() == [str(i) for i in range(6)]
    assert not found.turned.any()


def test_answers_of_a_probe_are_told_in_its_words_and_in_order(rng):
    label = np.arange(40) % 2
    x = np.column_stack([label * 6.0 + rng.standard_normal(40), rng.standard_normal((40, 2))])
    tap = ArrayActivations(x, name="planted", samples={"label": np.array(["cat", "dog"])[label]})
    found = steering_transcripts(
        tap, SteeringTranscriptsParams(reader=PROBE, points=3, draws=2, farthest=12.0)
    )
    table = found.columns
    none = table["push"] == 0
    assert set(table["says"]) == {"cat", "dog"}
    assert (table["says"] == table["random direction says"])[none].all()
    sample = np.array([int(line.split()[0]) for line in table["line"]])
    right = table["says"][none] == np.array(["cat", "dog"])[label[sample[none]]]
    assert right.mean() > 0.9  # lines are those of the samples they are named after
    turned = table["says"] != np.repeat(table["says"][none], 3)
    np.testing.assert_array_equal(table["tokens that change"], turned)
    assert (table["fluency"] <= 0).all()
    assert all(e.null is not None for e in found.estimates)
    with pytest.raises(NotFound, match="feature 3"):
        steering_transcripts(tap, SteeringTranscriptsParams(reader=PROBE, feature=3))
