"""What the benchmarks' torch models share: Adam with a falling rate, clipped gradients, a running average of the parameters."""

import torch
from _worker import falling


class Trainer:
    """Adam as matjax is given it here: warm-up and cosine, gradients clipped by their norm, parameters averaged.

    Attributes:
      average: Running average of the parameters, which predictions use.
    """

    def __init__(self, model: torch.nn.Module, n_step: int, learning_rate: float):
        """Of a fresh model."""
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.average = [p.detach().clone() for p in self._parameters]
        self._adam = torch.optim.Adam(self._parameters, lr=learning_rate)
        self._n_step, self._rate, self._step = n_step, learning_rate, 0

    def update(self, loss: torch.Tensor) -> None:
        """One update down the gradient of the loss."""
        self._adam.param_groups[0]["lr"] = self._rate * falling((self._step + 1) / self._n_step)
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 5.0)
        self._adam.step()
        decay = min(0.99, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self._parameters], 1 - decay)
        self._step += 1

    def swap(self) -> None:
        """Exchanges parameters and average: once before predicting, once after."""
        with torch.no_grad():
            for p, a in zip(self._parameters, self.average, strict=True):
                kept = p.clone()
                p.copy_(a)
                a.copy_(kept)


def errors(pairs: list[tuple[torch.Tensor, ...]]) -> dict[str, float]:
    """Mean absolute errors of batches (energy per atom found and wanted, forces found and wanted), in meV/atom and meV/Å."""
    energy = torch.cat([(e - wanted).detach().abs().flatten() for e, wanted, _, _ in pairs])
    forces = torch.cat([(f - wanted).detach().abs().flatten() for _, _, f, wanted in pairs])
    return {"energy_meV_per_atom": round(1e3 * float(energy.mean()), 2), "forces_meV_per_A": round(1e3 * float(forces.mean()), 2)}


def degree_and_scale(n_edge: tuple[int, ...], forces: tuple[torch.Tensor, ...]) -> tuple[float, float]:
    """Average neighbours of an atom, and the root mean square force."""
    every = torch.cat(forces)
    return sum(n_edge) / len(every), float(torch.sqrt((every**2).mean()))
