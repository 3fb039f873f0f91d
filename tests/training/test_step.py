"""One update: compiled once, each member to itself, nothing swallowed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matjax.graph import Shape, pack, to_graph
from matjax.nn import Equivariant
from matjax.risk import Coral, Risk
from matjax.training import AdamW, Loss
from matjax.training.step import _weights, train_step
from matjax.types import Crystal, Output

MODEL = Equivariant("4x0e+4x1o", n_layer=1, n_basis=4)
SHAPE = Shape(32, 512, 9)

close = lambda a, b: jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)
equal = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)
at = lambda tree, i: jax.tree.map(lambda x: np.asarray(x)[i], tree)


def differ(a, b) -> bool:
    return any((np.asarray(x) != np.asarray(y)).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_a_sweep_over_numbers_compiles_once(bench) -> None:
    members, batch = bench.members(), bench.batch()
    bench.step(members, batch)
    before = train_step._cache_size()
    for change in (
        {"optimizer": AdamW(3e-3)},
        {"optimizer": AdamW(1e-2, weight_decay=0.1, clip=1.0)},
        {"loss": Loss(energy=2.0, forces=1.0, delta=0.1)},
        {"ema": 0.9, "bootstrap": 1.0, "n_step": 70.0},
    ):
        bench.step(members, batch, **change)
    assert train_step._cache_size() == before


@pytest.mark.slow
def test_a_sweep_over_the_strength_of_a_penalty_compiles_once(bench) -> None:
    plan = lambda strength: {"risk": Risk() + Coral(strength)}
    members = bench.members(plan=dataclasses.replace(bench.plan, **plan(0.1)))
    before = train_step._cache_size()
    values = [bench.step(members, bench.batch(), **plan(s))[1]["risk"] for s in (0.0, 0.1, 1.0)]
    assert train_step._cache_size() == before
    assert (np.diff(np.array(values), axis=0) > 0).all()


def test_a_member_of_an_ensemble_is_the_member_alone(bench) -> None:
    """With its own bootstrap weights, over two updates."""
    both, alone = bench.members(), [bench.members((m,)) for m in (0, 1)]
    for _ in range(2):
        both, _ = bench.step(both, bench.batch(), bootstrap=1.0)
        alone = [bench.step(member, bench.batch(), bootstrap=1.0)[0] for member in alone]
    for m in (0, 1):
        close(at(both.params, m), at(alone[m].params, 0))
        close(at(both.average, m), at(alone[m].average, 0))
    assert differ(at(both.params, 0), at(both.params, 1))


def test_one_by_one_is_all_at_once(bench) -> None:
    one, two = (bench.step(bench.members(), bench.batch(), members_per_step=k) for k in (1, 2))
    close(one[0].params, two[0].params)
    close(one[1], two[1])


def test_an_update_that_is_not_finite_is_skipped_and_names_the_crystal(bench) -> None:
    start = bench.members()
    energy = bench.batch().globals.energy[:5].copy()
    energy[3] = np.nan
    after, _ = bench.step(start, bench.batch(energy=energy))
    for name in ("params", "average", "optimizer", "risk_params", "risk_memory"):
        equal(getattr(after, name), getattr(start, name))
    assert after.culprit.tolist() == [3, 3] and after.skipped.tolist() == [1, 1] and after.step.tolist() == [2, 2]
    healthy, _ = bench.step(after, bench.batch())
    assert differ(healthy.params, after.params) and healthy.skipped.tolist() == [1, 1] and healthy.culprit.tolist() == [3, 3]


def test_a_crystal_without_a_label_does_not_matter(bench) -> None:
    has = np.array([1, 1, 0, 1, 1.0])
    energy = bench.batch().globals.energy[:5]
    a, b = (bench.step(bench.members(), bench.batch(energy=energy + shift * (1 - has), has_energy=has))[0] for shift in (0.0, 50.0))
    equal(a.params, b.params)
    c, _ = bench.step(bench.members(), bench.batch())
    assert differ(a.params, c.params)


def test_bootstrap_zero_keeps_weights_at_one(bench) -> None:
    plain, metrics = bench.step(bench.members(), bench.batch(), bootstrap=0.0)
    drawn, other = bench.step(bench.members(), bench.batch(), bootstrap=1.0)
    again, _ = bench.step(bench.members(), bench.batch(), bootstrap=1.0)
    equal(drawn.params, again.params)
    assert differ(plain.params, drawn.params)
    doubled, same = bench.step(bench.members(), bench.batch(weight=np.full(5, 2.0)), bootstrap=0.0)
    close(metrics["risk"], same["risk"])
    assert not np.allclose(metrics["risk"], other["risk"])


def test_a_crystal_held_from_a_member_is_unknown_to_it_and_to_it_alone(bench) -> None:
    """Bit 1 of crystal 2: member 1 does not notice when its label changes, member 0 does."""
    held = np.array([0, 0, 0b10, 0, 0])
    energy = bench.batch().globals.energy[:5]
    wrong = energy + np.array([0, 0, 30.0, 0, 0], np.float32)
    right, lied = (bench.step(bench.members(), bench.batch(held_from=held, energy=e))[0] for e in (energy, wrong))
    equal(at(right.params, 1), at(lied.params, 1))
    assert differ(at(right.params, 0), at(lied.params, 0))
    free, _ = bench.step(bench.members(), bench.batch())
    equal(at(free.params, 0), at(right.params, 0))
    assert differ(at(free.params, 1), at(right.params, 1))
    absent, _ = bench.step(bench.members(), bench.batch(weight=np.array([1, 1, 0, 1, 1.0])))
    close(at(absent.params, 1), at(right.params, 1))


def test_the_average_follows_the_parameters(bench) -> None:
    start = bench.members()
    first, _ = bench.step(start, bench.batch(), ema=0.05)
    second, _ = bench.step(first, bench.batch(), ema=0.05)
    blend = lambda old, new, decay: jax.tree.map(lambda a, p: decay * np.asarray(a) + (1 - decay) * np.asarray(p), old, new)
    close(first.average, blend(start.average, first.params, 0.05))
    close(second.average, blend(first.average, second.params, 0.05))
    warm, _ = bench.step(start, bench.batch(), ema=0.999)
    close(warm.average, blend(start.average, warm.params, 2 / 11))  # a long average starts short: (1 + step) / (10 + step), step 1


def test_members_start_differently_and_their_keys_are_their_own(bench) -> None:
    members = bench.members()
    assert differ(at(members.params, 0), at(members.params, 1)) and differ(members.key[0], members.key[1])
    equal(at(members.params, 1), at(bench.members((1,)).params, 0))
    assert jnp.array_equal(members.number, jnp.arange(2))


def test_each_member_is_clipped_by_its_own_gradient(bench) -> None:
    """A member whose gradient is huge does not shrink the step of its neighbour. Plain gradient steps would show it; AdamW's
    first moment does: it is the clipped gradient."""
    start = bench.members()
    energy = bench.batch().globals.energy[:5].copy()
    energy[2] += 3e4
    held = np.array([0, 0, 0b10, 0, 0])  # member 1 does not see what frightens member 0
    clipped = {"optimizer": AdamW(1e-2, clip=0.01), "loss": Loss(shape="mse")}
    frightened, metrics = bench.step(start, bench.batch(energy=energy, held_from=held), **clipped)
    calm, plain = bench.step(start, bench.batch(held_from=held), **clipped)
    norms, usual = np.asarray(metrics["gradient_norm"]), np.asarray(plain["gradient_norm"])
    assert norms[0] > 100 * usual[0] > 0.01 and norms[1] == pytest.approx(usual[1], rel=1e-5)
    close(at(frightened.params, 1), at(calm.params, 1))


def test_forces_that_explode_name_their_crystal() -> None:
    """An error that overflows float32 is a loss that is not finite."""
    output = Output(jnp.zeros(3), None, jnp.zeros((3, 2)), jnp.zeros((6, 3)).at[2].set(1e38), None)
    line = lambda n: Crystal(9 * np.eye(3), 1.2 * np.arange(n)[:, None] * np.ones((1, 3)), np.full(n, 26))
    graphs = [to_graph(line(2), cutoff=3.0, energy=0.0, forces=np.zeros((2, 3)), index=i) for i in range(2)]
    batch = pack(graphs, Shape(6, 16, 3), cutoff=3.0)
    loss = Loss(shape="mse").outcome(output, batch, jnp.float32(1e-3)).loss
    assert np.isfinite(loss).tolist() == [True, False, True]


def test_a_bootstrap_weight_belongs_to_the_crystal(bench) -> None:
    """Not to its place in a batch, nor to who else is in it."""
    member = jax.tree.map(lambda x: x[0], bench.members())
    weights = {}
    for rows in ([0, 1, 2, 3, 4], [4, 2], [3, 1, 0]):
        batch = pack([bench.graphs[i] for i in rows], SHAPE, cutoff=MODEL.cutoff)
        for row, weight in zip(rows, np.asarray(_weights(member, batch, 1.0)), strict=False):
            weights.setdefault(row, set()).add(float(weight))
    assert all(len(found) == 1 for found in weights.values()) and len(set.union(*weights.values())) == 5
