"""A GAN and its optimisation step, for any objective: generators, discriminators, two Adams, a history of fakes.

`G_A` translates A to B and `G_B` B to A; `D_A` judges pictures of domain B and `D_B` of domain A. A GAN may learn one
direction alone.

A step never waits for the device: losses stay tensors, and the device itself skips an update whose gradient is not
finite.
"""

import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ...runtime.metadata import Direction
from ..config import TrainConfig
from ..distributed import World
from ..networks.build import init_weights
from ..networks.layers import Checkpointed
from .draws import Chance, Draws
from .image_pool import ImagePool
from .objective import JUDGED, Losses, Objective, Pictures, Players
from .update import Update

LOGGER = logging.getLogger(__name__)


class GAN:
    """The networks, optimisers and history buffers of a run; `step` trains them on one batch."""

    objective: Objective
    teachers: Mapping[Direction, nn.Module] = {}  # of a distillation

    def __init__(
        self,
        config: TrainConfig,
        networks: dict[str, nn.Module],
        make_objective: Callable[[TrainConfig, Players], Objective],
        device: torch.device,
        amp_dtype: torch.dtype | None,
        world: World,
        in_place_of: Mapping[str, nn.Module] = MappingProxyType({}),
    ) -> None:
        """Train `networks`, by their names in a checkpoint, on the objective that is made of them.

        `amp_dtype` is the type of autocast, None for FP32. `in_place_of` maps a network's name to the module that is
        called in its place while it learns.
        """
        self.config = config
        self.device = device
        self._amp_dtype = amp_dtype
        self._world = world
        self._skips: list[Tensor] = []  # of each step since `take_skips`, whether the updates of G and D were skipped
        networks = {name: network.to(device) for name, network in networks.items()}
        averages = {
            f"ema_{name[-1]}": copy.deepcopy(network).requires_grad_(False)
            for name, network in networks.items()
            if name.startswith("G_")
        }
        self.networks = networks | averages
        self._discriminators = {name: network for name, network in networks.items() if name in JUDGED}
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype == torch.float16)
        generators = [network for name, network in networks.items() if name not in JUDGED]
        averaged = [(average, networks[f"G_{name[-1]}"]) for name, average in averages.items()]
        self.update_G = Update(generators, averaged, config.optim, self.scaler, device)
        self.update_D = Update(self._discriminators.values(), (), config.optim, self.scaler, device)
        self._rng = torch.Generator().manual_seed(config.run.seed + world.rank)
        self._chance = Chance(self._rng, device, len(self._discriminators))
        domains = sorted(JUDGED[name] for name in self._discriminators)
        self.pools = {domain: ImagePool(config.optim.pool_size, self._rng) for domain in domains}
        # While they learn, networks are called through what averages gradients and what saves memory.
        learning = {name: network for name, network in networks.items() if name[:2] in ("G_", "D_")} | dict(in_place_of)
        self._learning = {name: world.wrap(self._checkpointed(name, network)) for name, network in learning.items()}
        torch.manual_seed(config.run.seed + world.rank)
        players = Players(self.networks, self._learning, self._autocast, device)
        self.objective = make_objective(config, players)
        if device.type == "cuda":
            penalised = self._discriminators if self.objective.penalised else {}  # which are differentiated twice
            once = [network for name, network in networks.items() if name not in penalised]
            _fuse_norms(once, device, amp_dtype or torch.float32)
        # The whole compiled step as CUDA graphs; not beside DDP, whose collectives would have to be in them.
        self._graphs = device.type == "cuda" and world.size == 1
        self._compiled = False
        if config.run.compile is True:
            self.compile()

    @property
    def directions(self) -> tuple[Direction, ...]:
        """The directions that are learnt."""
        directions: tuple[Direction, ...] = ("AtoB", "BtoA")
        return tuple(direction for direction in directions if f"G_{direction[0]}" in self.networks)

    @property
    def translators(self) -> dict[Direction, nn.Module]:
        """The generators for previews, validation and export: the averaged ones where the run keeps them."""
        kind = "ema" if self.config.optim.ema_halflife else "G"
        return {direction: self.networks[f"{kind}_{direction[0]}"] for direction in self.directions}

    def begin(self, epoch: int) -> None:
        """Prepare the objective for `epoch`, counted from 1; by default nothing changes."""

    def compile(self) -> None:
        """Compile the objective; the first steps then take longer, and those of other shapes once more."""
        self._compiled = True
        self.objective.compile("reduce-overhead" if self._graphs else None)
        for update in (self.update_G, self.update_D):
            update.capture(self._graphs)

    def compile_if_it_works(self, real_A: Tensor, real_B: Tensor) -> None:
        """Compile, and compute the gradients of a batch twice, as a step does; if that fails, say so and do without.

        The trial changes nothing that training goes on from.
        """
        plain = copy.copy(self.objective)
        real = {"A": real_A, "B": real_B}
        buffers = [buffer for network in self.networks.values() for buffer in network.buffers()]
        before, drawn = [buffer.clone() for buffer in buffers], self._rng.get_state()
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            self.compile()
            with torch.random.fork_rng(devices):
                for _ in range(2):  # CUDA graphs are captured the second time
                    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
                    _, fakes = self._generator_gradients(real)
                    self._discriminator_gradients(real, fakes)
        except Exception as error:  # the compiler, the one behind it and the GPU's library have errors of their own
            LOGGER.warning(
                "the step is not compiled, because that fails here: %s", str(error).strip().partition("\n")[0]
            )
            self.objective, self._compiled = plain, False
        for discriminator in self._discriminators.values():
            discriminator.requires_grad_(True)
        for update in (self.update_G, self.update_D):
            update.optimizer.zero_grad(set_to_none=True)
            update.capture(self._compiled and self._graphs)
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        self._rng.set_state(drawn)

    def step(self, real_A: Tensor, real_B: Tensor) -> Losses:
        """Train on one batch of each domain, float [B, C, H, W] in [-1, 1].

        generators_first is the official order. discriminators_first shows the discriminators fakes from the history
        alone, and stores the new ones after that.

        Returns:
            Every term of the objective, unweighted and detached, and of each discriminator the mean judgement of real
            and fake patches and the share that it judged rightly (`D_A_real`, `D_A_fake`, `D_A_accuracy`).
        """
        if self._compiled:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        real = {"A": real_A, "B": real_B}
        if self.config.optim.update_order == "generators_first":
            losses, fakes = self._update_generators(real)
            history = {domain: pool.query(fakes[domain]) for domain, pool in self.pools.items()}
            losses |= self._update_discriminators(real, history)
        else:
            losses = self._update_discriminators(real, self._history(real))
            generator_losses, fakes = self._update_generators(real)
            for domain, pool in self.pools.items():
                pool.store(fakes[domain])
            losses |= generator_losses
        self.scaler.update()
        self._skips.append(torch.stack((self.update_G.skipped, self.update_D.skipped)))
        return losses

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of both optimisers."""
        for update in (self.update_G, self.update_D):
            update.set_learning_rate(learning_rate)

    def take_skips(self) -> list[tuple[bool, bool]]:
        """Return of each step since the last call whether the updates of generators and discriminators were skipped.

        Waits for the device.
        """
        if not self._skips:
            return []
        skips = torch.stack(self._skips).tolist()
        self._skips.clear()
        return [(bool(generators), bool(discriminators)) for generators, discriminators in skips]

    def _history(self, real: Pictures) -> Pictures:
        """Return past fakes of every domain that is judged; new ones while nothing is stored."""
        if all(len(pool) for pool in self.pools.values()):
            return {domain: pool.sample(len(real[domain])) for domain, pool in self.pools.items()}
        with torch.no_grad(), self._autocast():
            return {
                direction[-1]: self.networks[f"G_{direction[0]}"](real[direction[0]]) for direction in self.directions
            }

    def _update_generators(self, real: Pictures) -> tuple[Losses, Pictures]:
        losses, fakes = self._generator_gradients(real)
        self.update_G(len(real["A"]))
        return losses, fakes

    def _generator_gradients(self, real: Pictures) -> tuple[Losses, Pictures]:
        self.update_G.optimizer.zero_grad(set_to_none=True)
        for discriminator in self._discriminators.values():
            discriminator.requires_grad_(False)
        losses, fakes = [], []
        for (part,), last in self._parts(real):
            with self._gathering("G_", averaged=last):
                batch = len(part["A"])
                draws = self._chance.augmentations(1, batch, self.config.optim.diffaugment)
                draws += self._chance.motions(batch) if self.objective.steadied else ()
                draws += self._noise(part)
                total, terms, made = self.objective.generators(part, draws)
                self._backward(total)
            losses.append(terms)
            # A fake that is no number would come back from the history and break later updates too.
            fakes.append({domain: fake.detach().nan_to_num() for domain, fake in made.items()})
        for discriminator in self._discriminators.values():
            discriminator.requires_grad_(True)
        return _mean(losses), {domain: torch.cat([made[domain] for made in fakes]) for domain in fakes[0]}

    def _update_discriminators(self, real: Pictures, history: Pictures) -> Losses:
        losses = self._discriminator_gradients(real, history)
        self.update_D(len(real["A"]))
        return losses

    def _discriminator_gradients(self, real: Pictures, history: Pictures) -> Losses:
        self.update_D.optimizer.zero_grad(set_to_none=True)
        losses = []
        for (part, fakes), last in self._parts(real, history):
            with self._gathering("D_", averaged=last):
                batch = len(part["A"])
                draws = self._chance.augmentations(2, batch, self.config.optim.diffaugment)
                draws += self._chance.shares(batch) if self.objective.penalised else ()
                total, terms = self.objective.discriminators(part, fakes, draws)
                self._backward(total)
            losses.append(terms)
        return _mean(losses)

    def _parts(self, *batches: Pictures) -> list[tuple[list[Pictures], bool]]:
        """Cut batches into the parts of `optim.accumulate`, each with whether it is the last."""
        count = self.config.optim.accumulate
        cut = [{domain: pictures.chunk(count) for domain, pictures in batch.items()} for batch in batches]
        return [
            ([{domain: chunks[number] for domain, chunks in batch.items()} for batch in cut], number == count - 1)
            for number in range(count)
        ]

    def _noise(self, real: Pictures) -> Draws:
        """Draw the noise on the fakes of A and of B before their way back, if the objective adds any."""
        data, deviation = self.config.data, self.objective.cycle_noise
        fakes = (data.input_nc, real["B"]), (data.output_nc, real["A"])  # those of A are made of B
        shapes = [(len(pictures), channels, *pictures.shape[2:]) for channels, pictures in fakes]
        return self._chance.noise(deviation, *shapes) if deviation else ()

    def _gathering(self, prefix: str, averaged: bool) -> ExitStack:
        """Average the gradients of these networks over all processes in this backward pass, or not yet."""
        stack = ExitStack()
        for name, network in self._learning.items() if not averaged else ():
            if name.startswith(prefix) and isinstance(network, nn.parallel.DistributedDataParallel):
                stack.enter_context(network.no_sync())
        return stack

    def _backward(self, total: Tensor) -> None:
        self.scaler.scale(total / self.config.optim.accumulate).backward()  # type: ignore[no-untyped-call]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self._amp_dtype, enabled=self._amp_dtype is not None)

    def _checkpointed(self, name: str, network: nn.Module) -> nn.Module:
        """Wrap a generator so that its activations are computed twice, where `optim` asks for that."""
        return Checkpointed(network) if self.config.optim.checkpoint_activations and name[:2] == "G_" else network

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a step reads or changes and that is the same in every process."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizer_G": self.update_G.state_dict(),
            "optimizer_D": self.update_D.state_dict(),
            "scaler": self.scaler.state_dict(),
            "num_seen": self.update_G.num_seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        for side, update in (("G", self.update_G), ("D", self.update_D)):
            update.load_state_dict(state[f"optimizer_{side}"], state["num_seen"])
        if state["scaler"]:  # empty where the run was trained in another precision
            self.scaler.load_state_dict(state["scaler"])
        self._skips.clear()

    def local_state_dict(self) -> dict[str, Any]:
        """Return the state that differs between processes: history, random draws, and statistics of batch norms."""
        pools = {f"pool_{domain}": pool.state_dict() for domain, pool in self.pools.items()}
        return pools | {"buffers": [list(network.buffers()) for network in self.networks.values()]}

    def load_local_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `local_state_dict` was taken, in the process that took it."""
        for domain, pool in self.pools.items():
            pool.load_state_dict(state[f"pool_{domain}"], self.device)
        for network, saved in zip(self.networks.values(), state["buffers"], strict=True):
            for buffer, value in zip(network.buffers(), saved, strict=True):
                buffer.copy_(value)


def initialised(network: nn.Module, config: TrainConfig) -> nn.Module:
    """Give a network the weights that a run starts with."""
    init_weights(network, config.networks.init_type, config.networks.init_gain)
    return network


def _fuse_norms(networks: list[nn.Module], device: torch.device, dtype: torch.dtype) -> None:
    """Normalise and activate in one kernel while these networks learn, where Triton is installed."""
    try:
        from ..networks.fused_norm import fuse
    except ImportError:  # it is no part of PyTorch on Windows
        return
    fuse(networks, device, dtype)


def _mean(losses: list[Losses]) -> Losses:
    """Average the terms of the parts of a batch."""
    if len(losses) == 1:
        return losses[0]
    return {name: torch.stack([terms[name] for terms in losses]).mean() for name in losses[0]}
