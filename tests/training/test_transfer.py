"""Going on from a source network with the target's few labels, through a domain-adversarial risk: the recipe of docs/transfer.md."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from matjax.data.matched import join
from matjax.risk import DANN, Risk
from matjax.types import Visible

LABEL = "formation_energy_per_atom"
OFFSET = 0.4


@pytest.mark.slow
def test_few_labels_move_a_pretrained_network_beside_unlabelled_source_crystals(learner, predictor, small):
    """The target is the source plus a constant; source crystals take part in the penalty alone."""
    target = dataclasses.replace(
        small, ids=tuple(f"{i}/target" for i in small.ids), labels={LABEL: small.labels[LABEL] + OFFSET}
    ).with_domains(functional=np.full(len(small), "target"))
    bare = dataclasses.replace(small, labels={LABEL: np.full(len(small), np.nan)}).with_domains(functional=np.full(len(small), "source"))
    train = join(bare.select(range(24)), target.select(range(12)))
    visible = Visible(train, target.select(range(12, 16)), target.select([]), target.select([]))
    key, biases = jax.random.key(1), {}
    for strength in (0.0, 0.3):  # one compiled program: numbers of a risk are leaves
        risk = Risk() + DANN(strength=strength, warmup=50.0)
        tuned = dataclasses.replace(learner, domain="functional", risk=risk, n_epoch=30).fit(visible, key, start=predictor)
        moved = tuned(target.crystals).mean - predictor(target.crystals).mean
        assert moved[24:].min() > 0.5 * OFFSET, "crystals without a label move too"
        biases[strength] = np.mean(tuned(target.crystals[:12]).mean - target.labels[LABEL][:12])
    before = np.mean(predictor(target.crystals[:12]).mean - target.labels[LABEL][:12])
    assert max(map(abs, biases.values())) < 0.4 * abs(before)
    assert biases[0.0] != biases[0.3], "source crystals without labels reach the network through the penalty"
