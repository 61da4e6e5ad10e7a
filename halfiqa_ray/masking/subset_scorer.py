"""The prediction for every subset of kept blocks, exactly, for less than the price of the backbone.

Section 2 of the paper masks every combination of blocks and runs the transformer once for each. The same numbers
follow from one pass, because a masked key has a softmax weight of exactly 0 and masked tokens are never read:

1. First layer, keys: its inputs do not depend on the subset. For every query and head, a softmax average over some
   blocks is joined from those over parts of them (`first_layer`), for sharp attention as for soft.
2. First layer, queries: a token's output matters only for the subsets that keep its block. What follows the attention
   is nearly all matrix products, with the LayerNorms folded into them (`folded_norms`).
3. Last layer: only the quality token's query is needed, and blocks are added to its softmax sums (`last_layer`).

Layers between the first and the last attend among all kept tokens of each subset, which has no such shortcut: their
cost is that of an ordinary masked pass a subset, for these layers only.

Shape suffixes: N images, S subsets, B blocks, T tokens (Q one block's, or some of them), D token width, C channels, H W
map rows and columns, I and J combinations of the low and the high blocks, R rows of a chunk, tokens x subsets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from halfiqa_ray.masking.first_layer import FirstLayer
from halfiqa_ray.masking.folded_norms import Rows
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.last_layer import LastLayer, attend_quality
from halfiqa_ray.masking.transformer import EncoderLayer, MaskedTransformer, SelfAttention, layers_of

# Where nothing varies beyond this (times max(1, |mean|)) there is no Pearson correlation.
VARIATION = 1e-6
# Logits beyond this make float64 worth its price: their float32 rounding alone could move a score by 1e-5.
SHARP_LOGIT = 100.0
CPU_ROWS, GPU_ROWS = 1 << 12, 1 << 20
# Layers between the first and the last hold all pairs of tokens: about as many bytes as the rows of a chunk.
LOGITS_PER_ROW = 1024


@dataclass(frozen=True)
class SubsetScores:
    """Predictions for a batch of images and all 2^B subsets; index = bit mask of the kept blocks.

    ``scores_NS`` float32 in native MOS units. ``levels_N5`` (nothing masked) and ``level_plcc_NS``, the Pearson
    correlation of each subset's five levels with the unmasked ones (NaN where a side does not vary), are None for
    a scalar head.
    """

    scores_NS: Tensor
    levels_N5: Tensor | None
    level_plcc_NS: Tensor | None


class SubsetScorer:
    """Scores all subsets of ``grid`` with a transformer over a token map.

    float32, except where attention is so sharp that float32 would lose digits: there float64, for the first layer's
    logits, or for all layers when a later one is sharp too. ``sharp_images`` counts the images that needed it.
    ``rows`` bounds the (subset, token) pairs held at once: a chunk should stay in the CPU's cache, or fill the GPU.
    """

    def __init__(self, model: MaskedTransformer, grid: Grid, rows: int | None = None) -> None:
        self.model, self.grid, self.rows = model, grid, rows
        self.sharp_images = 0
        self._double: MaskedTransformer | None = None

    @torch.inference_mode()
    def __call__(self, features_NCHW: Tensor) -> SubsetScores:
        """Score all subsets from feature matrices (N, C, H, W).

        Raises ValueError when the token map has fewer rows or columns than the grid, or more tokens than the model's
        position table.
        """
        with torch.autocast(features_NCHW.device.type, enabled=False), _full_precision():
            qualities = [self._encode(features_CHW.float()) for features_CHW in features_NCHW]
            predictions = [self.model.read_out(quality_SD.float()) for quality_SD in qualities]
        scores_NS = torch.stack([prediction.score_N for prediction in predictions])
        levels = [prediction.levels_N5 for prediction in predictions if prediction.levels_N5 is not None]
        if not levels:
            return SubsetScores(scores_NS, None, None)
        plcc = [level_plcc(levels_S5, levels_S5[-1]) for levels_S5 in levels]
        return SubsetScores(scores_NS, torch.stack([levels_S5[-1] for levels_S5 in levels]), torch.stack(plcc))

    def _encode(self, features_CHW: Tensor) -> Tensor:
        """The encoded quality token of one image for all subsets: (S, D)."""
        layer = layers_of(self.model)[0]
        tokens_TD, sizes = self._tokens(self.model, features_CHW)
        sharp = largest_logit(layer.attention, tokens_TD) > SHARP_LOGIT
        if sharp:
            # Tokens enter the first layer as the backbone made them, and its logits may be large; behind its
            # LayerNorm they seldom are. Then only the first layer's logits need float64.
            double = self._double_model()
            precise_TD, _ = self._tokens(double, features_CHW.double())
            first = FirstLayer(layer, precise_TD, sizes, layers_of(double)[0].attention)
        else:
            first = FirstLayer(layer, tokens_TD, sizes)
        sharp_later = self._sharp_later(first)
        self.sharp_images += sharp or sharp_later
        if not sharp_later:
            return self._all_layers(self.model, first)
        double = self._double_model()
        precise_TD, _ = self._tokens(double, features_CHW.double())
        return self._all_layers(double, FirstLayer(layers_of(double)[0], precise_TD, sizes))

    def _double_model(self) -> MaskedTransformer:
        self._double = self._double or self.model.after_backbone(torch.float64)
        return self._double

    def _tokens(self, model: MaskedTransformer, features_CHW: Tensor) -> tuple[Tensor, list[int]]:
        """The tokens (T, D) that enter the first layer, in block order, and the number of tokens of each block."""
        token_map_NDHW = model.project_and_pool(features_CHW[None])
        blocks_T = torch.from_numpy(self.grid.cells(*token_map_NDHW.shape[2:])).flatten()
        # Tokens are brought into block order, so that every block is one slice: positions are added already, and
        # attention does not know order.
        order_T = torch.cat([torch.zeros(1, dtype=torch.int64), torch.argsort(blocks_T, stable=True) + 1])
        tokens_TD = model.tokens(token_map_NDHW)[0, order_T.to(features_CHW.device)]
        return tokens_TD, torch.bincount(blocks_T).tolist()

    def _sharp_later(self, first: FirstLayer) -> bool:
        """Whether a layer behind the first has logits so large that their float32 rounding shows in the scores."""
        layers = layers_of(self.model)[1:]
        if not layers:
            return False
        state_STD = first.state(torch.tensor([self.grid.full], device=first.device))
        for layer in layers:
            if largest_logit(layer.attention, state_STD[0]) > SHARP_LOGIT:
                return True
            state_STD = layer(state_STD, None) if layer is not layers[-1] else state_STD
        return False

    def _all_layers(self, model: MaskedTransformer, first: FirstLayer) -> Tensor:
        """The encoded quality token for all subsets: (S, D)."""
        layers = layers_of(model)
        if len(layers) > 2:
            return self._deep(first, layers)
        rows = Rows(first.tail, max(self._chunk(1, first.device), first.low.count, first.high.count))
        quality_DIJ = self._quality(first, rows)
        if len(layers) == 2:
            last = LastLayer(layers[1], first.tail, quality_DIJ)
            for block in range(self.grid.blocks):
                self._add_block(first, last, block, rows)
            quality_DIJ = last.finish(rows)
        # A subset's bit mask is the high blocks' combination, then that of the low ones.
        return quality_DIJ.permute(2, 1, 0).flatten(0, 1)

    def _chunk(self, tokens: int, device: torch.device) -> int:
        """How many subsets to hold at once when each has ``tokens`` rows."""
        rows = self.rows or (CPU_ROWS * min(4, torch.get_num_threads()) if device.type == "cpu" else GPU_ROWS)
        return max(1, rows // tokens)

    def _quality(self, first: FirstLayer, rows: Rows) -> Tensor:
        """The quality token after the first layer, for all combinations of the low and the high blocks: (D, I, J)."""
        token = slice(0, 1)
        low, high = first.low.of(token), first.high.of(token)
        mixed_DS = first.tokens_TD.new_empty(first.tail.width, low.count * high.count)
        low.with_each(high, mixed_DS)
        residual_D1 = first.tail.residual(first.tokens_TD[token].t())
        return first.tail.finished_in_parts(mixed_DS, residual_D1, rows).unflatten(1, (low.count, high.count))

    def _add_block(self, first: FirstLayer, last: LastLayer, block: int, rows: Rows) -> None:
        """Two layers: a block's tokens, for the subsets that keep the block, into the last layer's sums."""
        queries = first.block_slices[block]
        own, other, bit = first.low, first.high, block
        if block >= first.low_blocks:
            own, other, bit = first.high, first.low, block - first.low_blocks
        own, other = own.of(queries).keeping(bit), other.of(queries)
        view = last.halves[block >= first.low_blocks].keeping(bit)
        sums = view.copy()
        residual_DQ1 = first.tail.residual(first.tokens_TD[queries].t())[..., None]
        step = min(own.count, max(1, rows.count // other.count))
        tokens = max(1, rows.count // (step * other.count))
        for number in range(0, own.count, step):
            kept = slice(number, number + step)
            part = sums.part(kept)
            for token in range(0, residual_DQ1.shape[1], tokens):
                some = slice(token, token + tokens)
                chunk = own.of(some, kept)
                mixed_DR = rows.mixed(chunk.mean_DTC[0].numel() * other.count)
                state_DR, factor_1R = first.tail.run(
                    chunk.with_each(other.of(some), mixed_DR), residual_DQ1[:, some], rows
                )
                last.add(part, state_DR, factor_1R, rows)
        view.put(sums)

    def _deep(self, first: FirstLayer, layers: list[EncoderLayer]) -> Tensor:
        """Three layers or more: ordinary masked attention in the layers between, a chunk of subsets at a time."""
        done = []
        logits = layers[0].attention.heads * first.count**2
        chunk = max(1, self._chunk(1, first.device) * LOGITS_PER_ROW // logits)
        sizes_B = torch.tensor(first.sizes, device=first.device)
        kept_SB = torch.from_numpy(self.grid.kept()).to(first.device)
        for subsets_S in torch.arange(self.grid.subsets, device=first.device).split(chunk):
            kept = kept_SB[subsets_S]
            masked_ST = ~torch.cat([kept.new_ones(len(kept), 1), kept.repeat_interleave(sizes_B, 1)], 1)
            state_STD = first.state(subsets_S)
            for layer in layers[1:-1]:
                state_STD = layer(state_STD, masked_ST)
            done.append(attend_quality(layers[-1], state_STD, masked_ST))
        return torch.cat(done)


def level_plcc(levels_S5: Tensor, reference_5: Tensor) -> Tensor:
    """Pearson correlation of each row with ``reference_5``, in float64, as float32 (S,).

    NaN where the standard deviation of a side is at most 1e-6 x max(1, |mean|).
    """
    rows, reference = levels_S5.double(), reference_5.double()
    centred_S5, centred_5 = rows - rows.mean(1, keepdim=True), reference - reference.mean()
    spread_S, spread = centred_S5.square().mean(1).sqrt(), centred_5.square().mean().sqrt()
    plcc_S = (centred_S5 @ centred_5) / (len(reference) * spread_S * spread)
    flat_S = (spread_S <= VARIATION * rows.mean(1).abs().clamp(min=1)) | (
        spread <= VARIATION * reference.mean().abs().clamp(min=1)
    )
    return plcc_S.clamp(-1, 1).masked_fill(flat_S, math.nan).float()


def largest_logit(attention: SelfAttention, tokens_TD: Tensor) -> float:
    """An upper bound of the attention logits' magnitude over these tokens, from the lengths of queries and keys."""
    query_ATE, key_ATE = (attention.split(project(tokens_TD[None]))[0] for project in (attention.query, attention.key))
    bound_A = query_ATE.norm(dim=2).amax(1) * key_ATE.norm(dim=2).amax(1) / math.sqrt(query_ATE.shape[2])
    return float(bound_A.max())


class _full_precision:
    """TF32 off: it keeps ten bits of a product, which the 1e-5 promise does not survive."""

    def __enter__(self) -> None:
        self.before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before
