"""The update of one side, generators or discriminators: from gradients to weights and averages.

The device itself skips an update whose gradient is not finite. Where the step is compiled on a GPU, the update becomes
one CUDA graph: the same kernels, captured, so what changes from step to step has to lie on the device.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Adam

from ..config import OptimConfig
from .schedule import update_ema

LOGGER = logging.getLogger(__name__)

# Updates that a loss scaler may leave out one after another: from 65,536, which it begins with, sixteen halve it to 1.
MOST_OVERFLOWS = 20


class Update:
    """Adam over some networks, and the averages that follow them."""

    def __init__(
        self,
        networks: Iterable[nn.Module],
        averaged: Sequence[tuple[nn.Module, nn.Module]],
        config: OptimConfig,
        scaler: torch.amp.GradScaler,
        device: torch.device,
    ) -> None:
        """Update `networks`; `averaged` are pairs of an averaged network and the one that it follows."""
        self._config = config
        self._scaler = scaler
        self._averaged = averaged if config.ema_halflife else ()
        self._parameters = [parameter for network in networks for parameter in network.parameters()]
        betas = (config.beta1, config.beta2)
        self.optimizer = Adam(self._parameters, lr=config.lr, betas=betas, fused=True)
        self._learning_rate = config.lr
        self.num_seen = 0  # pictures
        self.skipped = torch.zeros((), device=device)  # 1 where the last update was skipped
        self._overflows = torch.zeros((), device=device)
        self._inputs: _GraphInputs | None = None  # where updates are captured
        self._graph: torch.cuda.CUDAGraph | None = None
        self._addresses: tuple[int, ...] = ()  # of the last update's gradients

    def __call__(self, batch: int) -> None:
        """Update weights and averages after the gradients of `batch` pictures."""
        if self._inputs is None:
            self._update(batch)
        else:
            self._replay(batch, self._inputs)
        self.num_seen += batch

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the updates to come."""
        if self._inputs is None:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
        elif learning_rate != self._learning_rate:
            self._inputs.learning_rate.fill_(learning_rate)
        self._learning_rate = learning_rate

    def capture(self, captured: bool) -> None:
        """Run updates as a CUDA graph from now on, as soon as gradients lie where they lay in the step before; or not.

        Those of a compiled step do, for CUDA graphs make them. In FP16 nothing changes: the loss scaler decides on the
        host.
        """
        captured = captured and not self._scaler.is_enabled()
        self._inputs = _GraphInputs(self.skipped.device) if captured else None
        self._graph, self._addresses = None, ()
        self._connect()

    def _connect(self) -> None:
        """Let Adam read its learning rate from where `set_learning_rate` writes it."""
        if self._inputs is not None:
            self._inputs.learning_rate.fill_(self._learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self._inputs.learning_rate if self._inputs else self._learning_rate
            group["capturable"] = self._inputs is not None

    def _replay(self, batch: int, inputs: "_GraphInputs") -> None:
        gradients = (parameter.grad for parameter in self._parameters)
        addresses = (batch, *(0 if gradient is None else gradient.data_ptr() for gradient in gradients))
        if addresses != self._addresses:
            self._graph = None
        elif self._graph is None:
            self._graph = self._captured(batch, inputs)
        self._addresses = addresses
        if self._graph is None:
            self._update(batch)
        else:
            self._graph.replay()

    def _captured(self, batch: int, inputs: "_GraphInputs") -> torch.cuda.CUDAGraph | None:
        """Capture an update without running it; where that fails, say so and capture none any more."""
        inputs.num_seen.fill_(self.num_seen)
        try:
            graph = torch.cuda.CUDAGraph()
            # Threads that read pictures or write checkpoints may use the GPU meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._update(batch, inputs)
        except Exception as error:  # those of torch, of CUDA and of its libraries
            reason = str(error).strip().partition("\n")[0]
            LOGGER.warning("updates stay outside of the CUDA graphs, because capturing fails here: %s", reason)
            self.capture(False)
            return None
        return graph

    def _update(self, batch: int, inputs: "_GraphInputs | None" = None) -> None:
        """Update now, or within a capture, which reads `inputs` in every replay."""
        self._scaler.unscale_(self.optimizer)
        norm = get_total_norm([parameter.grad for parameter in self._parameters if parameter.grad is not None])
        if self._config.clip_norm:
            clip_grads_with_norm_(self._parameters, self._config.clip_norm, norm)
        broken = norm.isfinite().logical_not()
        if self._scaler.is_enabled():  # it looks for itself, and meets gradients that overflow every so often
            self.skipped.copy_(self._overflows.add_(1).mul_(broken) > MOST_OVERFLOWS)
        else:
            self.optimizer.found_inf = self.skipped.copy_(broken)  # type: ignore[attr-defined]
        self._scaler.step(self.optimizer)
        seen = self.num_seen + batch if inputs is None else inputs.num_seen.add_(batch)
        for average, network in self._averaged:
            update_ema(average, network, self._config.ema_halflife, batch, seen)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of Adam, the same whether updates are captured or not."""
        state = self.optimizer.state_dict()
        for group in state["param_groups"]:
            group |= {"lr": self._learning_rate, "capturable": False}
        return state

    def load_state_dict(self, state: dict[str, Any], num_seen: int) -> None:
        """Go on from `state_dict` after `num_seen` pictures."""
        self.optimizer.load_state_dict(state)
        self._learning_rate = float(state["param_groups"][0]["lr"])
        self.num_seen = num_seen
        self._overflows.zero_()
        self._graph, self._addresses = None, ()  # a graph would go on with the tensors that Adam has left
        self._connect()


class _GraphInputs:
    """What a captured update reads from the device instead of the host."""

    def __init__(self, device: torch.device) -> None:
        self.learning_rate = torch.zeros((), device=device)
        self.num_seen: Tensor = torch.zeros((), dtype=torch.float64, device=device)
