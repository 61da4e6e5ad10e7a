"""The prediction for every subset of kept blocks, exactly, for less than the price of the backbone.

Section 2 of the paper masks every combination of blocks and runs the transformer once for each. The same numbers
follow from one pass, because a masked key has a softmax weight of exactly 0 and masked tokens are never read:

1. First layer, keys: its inputs do not depend on the subset. For every query and head, the softmax numerator and
   denominator of a subset are sums of one term a kept block (plus the quality token's own), so they are computed once
   a block and added.
2. First layer, queries: a token's output matters only for the subsets that keep its block.
3. Last layer: only the quality token's query is needed. The key projection is folded into it, the value projection is
   applied after the weighted sum, and blocks are accumulated with a running maximum.

Layers between the first and the last attend among all kept tokens of each subset, which has no such shortcut: their
cost is that of an ordinary masked pass a subset, for these layers only.

Shape suffixes: N images, S subsets, B blocks, T tokens (Q the queries, one block's tokens or all), A heads,
E width of one head, D = A x E token width, C channels, H W map rows and columns.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.transformer import EncoderLayer, MaskedTransformer, SelfAttention, layers_of

# Below this share of the row maximum a float32 softmax denominator has lost digits to underflow.
SMALLEST_SAFE_DENOMINATOR = 1e-30
# Where nothing varies beyond this (times max(1, |mean|)) there is no Pearson correlation.
VARIATION = 1e-6
# Logits beyond this make float64 worth its price: their float32 rounding alone could move a score by 1e-5.
SHARP_LOGIT = 100.0
CPU_ROWS, GPU_ROWS = 1 << 14, 1 << 20
# Layers between the first and the last hold all pairs of tokens: about as many bytes as the rows of a chunk.
LOGITS_PER_ROW = 256


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
    sums over keys, or for all layers when a later one is sharp too. ``sharp_images`` counts the images that needed it.
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
        first = self._first_layer(self.model, features_CHW)
        sharp = self._sharp_layers(first)
        if not sharp:
            return self._all_layers(self.model, first)
        self.sharp_images += 1
        self._double = self._double or self.model.after_backbone(torch.float64)
        precise = self._first_layer(self._double, features_CHW.double())
        if sharp == [0]:
            # Tokens enter the first layer as the backbone made them, and its logits may be large; behind its
            # LayerNorm they seldom are. Then only the sums over its keys need float64.
            return self._all_layers(self.model, precise.rounded(first.layer))
        return self._all_layers(self._double, precise)

    def _first_layer(self, model: MaskedTransformer, features_CHW: Tensor) -> FirstLayer:
        token_map_NDHW = model.project_and_pool(features_CHW[None])
        blocks_T = torch.from_numpy(self.grid.cells(*token_map_NDHW.shape[2:])).flatten()
        # Tokens are brought into block order, so that every block is one slice: positions are added already, and
        # attention does not know order.
        order_T = torch.cat([torch.zeros(1, dtype=torch.int64), torch.argsort(blocks_T, stable=True) + 1])
        tokens_TD = model.tokens(token_map_NDHW)[0, order_T.to(features_CHW.device)]
        return FirstLayer(layers_of(model)[0], tokens_TD, torch.bincount(blocks_T).tolist())

    def _sharp_layers(self, first: FirstLayer) -> list[int]:
        """The layers whose logits may be so large that their float32 rounding shows in the scores."""
        layers = layers_of(self.model)
        sharp = [0] if largest_logit(layers[0].attention, first.tokens_TD) > SHARP_LOGIT else []
        everything_SB = torch.ones(1, self.grid.blocks, dtype=torch.bool, device=first.device)
        state_STD = torch.cat([first.quality(everything_SB)[:, None], first.tokens(everything_SB)], 1)
        for depth, layer in enumerate(layers[1:], 1):
            if largest_logit(layer.attention, state_STD[0]) > SHARP_LOGIT:
                sharp.append(depth)
            state_STD = layer(state_STD, None) if layer is not layers[-1] else state_STD
        return sharp

    def _all_layers(self, model: MaskedTransformer, first: FirstLayer) -> Tensor:
        layers = layers_of(model)
        kept_SB = torch.from_numpy(self.grid.kept()).to(first.device)
        quality_SD = first.quality(kept_SB)
        if len(layers) == 1:
            return quality_SD
        if len(layers) > 2:
            return self._deep(first, layers, kept_SB, quality_SD)
        last = LastLayer(layers[1], quality_SD)
        self._add_blocks(first, last)
        return last.finish()

    def _chunk(self, tokens: int, device: torch.device) -> int:
        """How many subsets to hold at once when each has ``tokens`` rows."""
        rows = self.rows or (CPU_ROWS if device.type == "cpu" else GPU_ROWS)
        return max(1, rows // tokens)

    def _add_blocks(self, first: FirstLayer, last: LastLayer) -> None:
        """Two layers: every block's tokens, for the subsets that keep the block, into the last layer's sums."""
        for block in range(self.grid.blocks):
            terms = BlockTerms(first, block, self.grid.blocks)
            chunk = min(terms.outer, max(1, self._chunk(terms.tokens, first.device) // terms.inner))
            workspace = Workspace(chunk * terms.inner * terms.tokens, first)
            for start in range(0, terms.outer, chunk):
                subsets_S, tokens_SQD = terms.outputs(start, min(start + chunk, terms.outer), workspace)
                last.add(subsets_S, tokens_SQD)

    def _deep(self, first: FirstLayer, layers: list[EncoderLayer], kept_SB: Tensor, quality_SD: Tensor) -> Tensor:
        """Three layers or more: ordinary masked attention in the layers between, a chunk of subsets at a time."""
        done = []
        logits = layers[0].attention.heads * first.count**2
        chunk = max(1, self._chunk(1, first.device) * LOGITS_PER_ROW // logits)
        for kept, quality in zip(kept_SB.split(chunk), quality_SD.split(chunk), strict=True):
            masked_ST = ~torch.cat([kept.new_ones(len(kept), 1), kept.repeat_interleave(first.sizes_B, 1)], 1)
            state_STD = torch.cat([quality[:, None], first.tokens(kept)], 1)
            for layer in layers[1:-1]:
                state_STD = layer(state_STD, masked_ST)
            last = LastLayer(layers[-1], state_STD[:, 0])
            everything_S = torch.arange(len(kept), device=first.device)
            last.add(everything_S, state_STD[:, 1:], masked_ST[:, 1:])
            done.append(last.finish())
        return torch.cat(done)


class FirstLayer:
    """Step 1: one image's softmax numerators and denominators in the first layer, a term for every block of keys.

    ``numerator_BTD`` and ``denominator_BTD`` (repeated over E) are relative to the maximum of the whole row where
    that keeps every subset's sum in range, else (``safe`` False) each to its own ``maximum_BTA``, to be combined by
    log-sum-exp. Index 0 of the first axis is the quality token's own term, block b is index b + 1.
    """

    def __init__(self, layer: EncoderLayer, tokens_TD: Tensor, sizes: list[int]) -> None:
        self.layer, self.tokens_TD, self.sizes = layer, tokens_TD, sizes
        self.device, self.count = tokens_TD.device, len(tokens_TD)
        self.sizes_B = torch.tensor(sizes, device=self.device)
        attention = layer.attention
        query_ATE, key_ATE, value_ATE = (
            attention.split(project(tokens_TD[None]))[0]
            for project in (attention.query, attention.key, attention.value)
        )
        self.quality_value_D = value_ATE[:, 0].flatten()
        logits_ATT = (query_ATE / math.sqrt(query_ATE.shape[-1])) @ key_ATE.transpose(1, 2)
        parts = logits_ATT.split([1, *sizes], dim=2)
        highest_BAT = torch.stack([part.amax(2) for part in parts])
        row_AT = highest_BAT.amax(0)
        # The quality token is never masked: its own weight is a lower bound of every subset's denominator.
        self.safe = bool((highest_BAT[0] - row_AT).min() > math.log(SMALLEST_SAFE_DENOMINATOR))
        self.maximum_BTA = highest_BAT.transpose(1, 2)
        reference_BAT = row_AT.expand_as(highest_BAT) if self.safe else highest_BAT
        numerators, denominators = [], []
        for part, value_AQE, reference_AT in zip(
            parts, value_ATE.split([1, *sizes], dim=1), reference_BAT, strict=True
        ):
            weights_ATQ = (part - reference_AT[..., None]).exp_()
            numerators.append((weights_ATQ @ value_AQE).transpose(0, 1).flatten(1))
            denominators.append(weights_ATQ.sum(2).transpose(0, 1).repeat_interleave(value_ATE.shape[2], 1))
        self.numerator_BTD, self.denominator_BTD = torch.stack(numerators), torch.stack(denominators)
        width = value_ATE.shape[2]
        # (A, D) of 0 and 1: a matrix product with it repeats a number a head over the head's width.
        self.spread_AD = torch.eye(len(value_ATE), dtype=tokens_TD.dtype, device=self.device).repeat_interleave(
            width, 1
        )
        starts = [1]
        for size in sizes:
            starts.append(starts[-1] + size)
        self.block_slices = [slice(a, b) for a, b in itertools.pairwise(starts)]

    def mixed(self, kept_SB: Tensor, queries: slice) -> Tensor:
        """The attention output before its projection, for any subsets: (S, Q, D)."""
        terms_SB = functional.pad(kept_SB, (1, 0), value=True).to(self.numerator_BTD.dtype)
        numerator_BQD, denominator_BQD = self.numerator_BTD[:, queries], self.denominator_BTD[:, queries]
        if self.safe:
            return torch.einsum("sb,bqd->sqd", terms_SB, numerator_BQD) / torch.einsum(
                "sb,bqd->sqd", terms_SB, denominator_BQD
            )
        logs_SBQA = self.maximum_BTA[:, queries] + torch.log(terms_SB)[:, :, None, None]
        weights_SBQA = (logs_SBQA - logs_SBQA.amax(1, keepdim=True)).exp_().to(numerator_BQD.dtype)
        weights_SBQD = weights_SBQA @ self.spread_AD
        return (weights_SBQD * numerator_BQD).sum(1) / (weights_SBQD * denominator_BQD).sum(1)

    def rounded(self, layer: EncoderLayer) -> FirstLayer:
        """The same sums in the precision of ``layer``; their maxima stay as precise as they are."""
        single = copy.copy(self)
        single.layer = layer
        dtype = layer.attention.output.weight.dtype
        for name in ("tokens_TD", "numerator_BTD", "denominator_BTD", "quality_value_D", "spread_AD"):
            setattr(single, name, getattr(self, name).to(dtype))
        return single

    def quality(self, kept_SB: Tensor) -> Tensor:
        """The quality token after the first layer, for any subsets: (S, D)."""
        mixed_SD = self.mixed(kept_SB, slice(0, 1))[:, 0]
        # Alone, the quality token attends to itself with weight 1, exactly: the same score for all images.
        mixed_SD = torch.where(kept_SB.any(1, keepdim=True), mixed_SD, self.quality_value_D)
        return self.layer.after_attention(self.tokens_TD[:1], self.layer.attention.output(mixed_SD))

    def tokens(self, kept_SB: Tensor) -> Tensor:
        """All map tokens after the first layer, in block order: (S, T - 1, D)."""
        mixed_STD = self.mixed(kept_SB, slice(1, None))
        return self.layer.after_attention(self.tokens_TD[None, 1:], self.layer.attention.output(mixed_STD))


class BlockTerms:
    """Step 2: one block's tokens after the first layer, for the 2^(B-1) subsets that keep the block.

    The other blocks are cut into an inner and an outer group; the terms of every inner and every outer
    combination are summed once, and a subset's sum is one addition.
    """

    def __init__(self, first: FirstLayer, block: int, blocks: int) -> None:
        self.first = first
        self.queries = first.block_slices[block]
        self.tokens = self.queries.stop - self.queries.start
        others = [b for b in range(blocks) if b != block]
        inner, outer = others[: len(others) // 2], others[len(others) // 2 :]
        self.inner, self.outer = 1 << len(inner), 1 << len(outer)
        device = first.device
        self.inner_subsets_S = _subset_masks(inner, device) | (1 << block)
        self.outer_subsets_S = _subset_masks(outer, device)
        self.residual_QD = first.tokens_TD[self.queries] + first.layer.attention.output.bias
        always = [0, block + 1]
        if first.safe:
            self.inner_sums = [self._sums(t, inner, always) for t in (first.numerator_BTD, first.denominator_BTD)]
            self.outer_sums = [self._sums(t, outer, []) for t in (first.numerator_BTD, first.denominator_BTD)]
        else:
            self.inner_terms = self._logsumexp(inner, always)
            self.outer_terms = self._logsumexp(outer, [])

    def _sums(self, terms_BTD: Tensor, group: list[int], always: list[int]) -> Tensor:
        """Sums of the terms of every combination of a group: (combinations, Q, D)."""
        terms_BQD = terms_BTD[:, self.queries]
        sums = terms_BQD[always].sum(0, keepdim=True)
        for other in group:
            sums = torch.cat([sums, sums + terms_BQD[other + 1]])
        return sums

    def _logsumexp(self, group: list[int], always: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Maximum (combinations, Q, A), and numerator and denominator relative to it (combinations, Q, D)."""
        first = self.first
        terms = [t[:, self.queries] for t in (first.maximum_BTA, first.numerator_BTD, first.denominator_BTD)]
        sums = (
            torch.full_like(terms[0][:1], -math.inf),
            torch.zeros_like(terms[1][:1]),
            torch.zeros_like(terms[2][:1]),
        )
        for index in always:
            sums = self._joined(sums, (terms[0][index], terms[1][index], terms[2][index]))
        for other in group:
            more = self._joined(sums, (terms[0][other + 1], terms[1][other + 1], terms[2][other + 1]))
            sums = tuple(torch.cat(pair) for pair in zip(sums, more, strict=True))  # type: ignore[assignment]
        return sums

    def _joined(
        self, one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Two sums of exponentials as one, relative to the larger maximum."""
        maximum = torch.maximum(one[0], other[0])
        weight, weight_other = (
            (part[0] - maximum).exp().to(one[1].dtype) @ self.first.spread_AD for part in (one, other)
        )
        return maximum, weight * one[1] + weight_other * other[1], weight * one[2] + weight_other * other[2]

    def outputs(self, start: int, stop: int, work: Workspace) -> tuple[Tensor, Tensor]:
        """Subset masks (S,) and token states (S, Q, D) of the outer combinations start .. stop."""
        layer = self.first.layer
        subsets_S = (self.outer_subsets_S[start:stop, None] | self.inner_subsets_S).flatten()
        count = len(subsets_S) * self.tokens
        mixed, state, hidden = work.mixed[:count], work.state[:count], work.hidden[:count]
        shape = (stop - start, self.inner, self.tokens, mixed.shape[1])
        if self.first.safe:
            torch.add(self.outer_sums[0][start:stop, None], self.inner_sums[0], out=mixed.view(shape))
            torch.add(self.outer_sums[1][start:stop, None], self.inner_sums[1], out=state.view(shape))
        else:
            maximum, numerator, denominator = self.inner_terms
            outer_maximum, outer_numerator, outer_denominator = (t[start:stop, None] for t in self.outer_terms)
            # Inner sums hold the quality token, so they are never empty. Beyond e^60 the smaller side is nothing.
            gap = (outer_maximum - maximum).clamp_(max=60).to(mixed.dtype).exp_()
            ratio = (gap.flatten(0, 2) @ self.first.spread_AD).view(shape)
            torch.addcmul(numerator, ratio, outer_numerator, out=mixed.view(shape))
            torch.addcmul(denominator, ratio, outer_denominator, out=state.view(shape))
        mixed.div_(state)
        torch.mm(mixed, layer.attention.output.weight.t(), out=state)
        state.view(-1, *self.residual_QD.shape).add_(self.residual_QD)
        _layer_norm(state, layer.attention_norm, mixed)
        torch.addmm(layer.expand.bias, mixed, layer.expand.weight.t(), out=hidden).relu_()
        mixed.add_(layer.contract.bias).addmm_(hidden, layer.contract.weight.t())
        _layer_norm(mixed, layer.mlp_norm, state)
        return subsets_S, state.view(len(subsets_S), self.tokens, -1)


class Workspace:
    """Buffers that one block's chunks share, so that no chunk pays for fresh memory."""

    def __init__(self, rows: int, first: FirstLayer) -> None:
        width, wide = first.layer.contract.out_features, first.layer.expand.out_features
        self.mixed, self.state = (first.tokens_TD.new_empty(rows, width) for _ in range(2))
        self.hidden = first.tokens_TD.new_empty(rows, wide)


class LastLayer:
    """Step 3: the quality token's attention over all kept tokens, in one running softmax over blocks."""

    def __init__(self, layer: EncoderLayer, quality_SD: Tensor) -> None:
        self.layer, self.quality_SD = layer, quality_SD
        attention = layer.attention
        query_SAE = attention.query(quality_SD).unflatten(1, (attention.heads, -1))
        key_AED = attention.key.weight.unflatten(0, (attention.heads, -1))
        # The key bias adds the same to every logit of a head, which a softmax does not see.
        self.query_SAD = torch.einsum("sae,aed->sad", query_SAE, key_AED) / math.sqrt(query_SAE.shape[2])
        self.maximum_SA = torch.einsum("sad,sd->sa", self.query_SAD, quality_SD)
        self.total_SA = torch.ones_like(self.maximum_SA)
        self.sum_SAD = quality_SD[:, None].repeat(1, attention.heads, 1)

    def add(self, subsets_S: Tensor, tokens_SQD: Tensor, masked_SQ: Tensor | None = None) -> None:
        """Add tokens (S, Q, D) to the sums of the given subsets."""
        logits_SAQ = torch.bmm(self.query_SAD.index_select(0, subsets_S), tokens_SQD.transpose(1, 2))
        if masked_SQ is not None:
            logits_SAQ.masked_fill_(masked_SQ[:, None], -math.inf)
        before_SA = self.maximum_SA.index_select(0, subsets_S)
        after_SA = torch.maximum(before_SA, logits_SAQ.amax(2))
        weights_SAQ = logits_SAQ.sub_(after_SA[..., None]).exp_()
        shrink_SA = (before_SA - after_SA).exp_()
        total_SA = torch.addcmul(weights_SAQ.sum(2), self.total_SA.index_select(0, subsets_S), shrink_SA)
        sum_SAD = self.sum_SAD.index_select(0, subsets_S).mul_(shrink_SA[..., None]).baddbmm_(weights_SAQ, tokens_SQD)
        self.maximum_SA.index_copy_(0, subsets_S, after_SA)
        self.total_SA.index_copy_(0, subsets_S, total_SA)
        self.sum_SAD.index_copy_(0, subsets_S, sum_SAD)

    def finish(self) -> Tensor:
        """The quality token after the last layer: (S, D)."""
        attention = self.layer.attention
        mean_SAD = self.sum_SAD / self.total_SA[..., None]
        value_AED = attention.value.weight.unflatten(0, (attention.heads, -1))
        mixed_SD = torch.einsum("sad,aed->sae", mean_SAD, value_AED).flatten(1) + attention.value.bias
        return self.layer.after_attention(self.quality_SD, attention.output(mixed_SD))


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


def _subset_masks(group: list[int], device: torch.device) -> Tensor:
    """Bit masks of all combinations of a group of blocks, in counting order: int64 (2^len,)."""
    masks = torch.zeros(1, dtype=torch.int64, device=device)
    for block in group:
        masks = torch.cat([masks, masks | (1 << block)])
    return masks


def _layer_norm(x_RD: Tensor, norm: torch.nn.LayerNorm, out: Tensor) -> None:
    """LayerNorm of rows into ``out``, overwriting ``x_RD``.

    On CPU the fused kernel takes twice as long as these five passes when rows are as short as TRIQ's tokens.
    """
    width = x_RD.shape[1]
    x_RD.sub_(torch.mv(x_RD, x_RD.new_full((width,), 1 / width))[:, None])
    variance_R = torch.linalg.vector_norm(x_RD, dim=1).square_().div_(width)
    x_RD.mul_(variance_R.add_(norm.eps).rsqrt_()[:, None])
    torch.addcmul(norm.bias, x_RD, norm.weight, out=out)


class _full_precision:
    """TF32 off: it keeps ten bits of a product, which the 1e-5 promise does not survive."""

    def __enter__(self) -> None:
        self.before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before
