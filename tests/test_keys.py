"""Randomness by name: reproducible, distinct, independent."""

import jax
import numpy as np

from matjax.keys import child, generator

KEY = jax.random.key(0)


def same(a, b):
    return bool((jax.random.key_data(a) == jax.random.key_data(b)).all())


def test_equal_names_give_equal_keys_and_different_names_different_ones():
    assert same(child(KEY, "fit"), child(KEY, "fit"))
    keys = [child(KEY, *names) for names in [(), ("fit",), ("pick",), ("fit", "pick"), ("pick", "fit"), (0,), (1,)]]
    assert len({np.asarray(jax.random.key_data(k)).tobytes() for k in keys}) == 7
    assert not same(child(jax.random.key(1), "fit"), child(KEY, "fit"))


def test_names_chain():
    assert same(child(KEY, "fit", 3), child(child(KEY, "fit"), 3))


def test_a_name_gives_this_key_on_every_machine():
    assert same(child(KEY, "123456789"), jax.random.fold_in(KEY, 0xCBF43926))  # the published check value of CRC-32


def test_children_of_a_split_key_under_jit_and_vmap():
    keys = jax.random.split(KEY, 3)
    batched = jax.jit(jax.vmap(lambda k: child(k, "fit")))(keys)
    assert all(same(batched[i], child(keys[i], "fit")) for i in range(3))


def test_generator_repeats_and_takes_both_kinds_of_keys():
    draw = generator(KEY).random(4)
    assert (draw == generator(KEY).random(4)).all()
    assert (draw == generator(jax.random.PRNGKey(0)).random(4)).all()
    assert (draw != generator(child(KEY, "other")).random(4)).any()
