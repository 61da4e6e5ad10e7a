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

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.transformer import EncoderLayer, MaskedTransformer

# Below this share of the row maximum a float32 softmax denominator has lost digits to underflow.
SMALLEST_SAFE_DENOMINATOR = 1e-30
# Where nothing varies beyond this (times max(1, |mean|)) there is no Pearson correlation.
VARIATION = 1e-6
CPU_ROWS, GPU_ROWS = 1 << 14, 1 << 20


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

    ``rows`` bounds the (subset, token) pairs held at once: a chunk should stay in the CPU's cache, or fill the GPU.
    """

    def __init__(self, model: MaskedTransformer, grid: Grid, rows: int | None = None) -> None:
        self.model, self.grid, self.rows = model, grid, rows

    @torch.inference_mode()
    def __call__(self, features_NCHW: Tensor) -> SubsetScores:
        """Score all subsets from feature matrices (N, C, H, W).

        Raises ValueError when the token map has fewer rows or columns than the grid.
        """
        with torch.autocast(features_NCHW.device.type, enabled=False), _full_precision():
            token_map_NDHW = self.model.project_and_pool(features_NCHW.float())
            tokens_NTD = self.model.tokens(token_map_NDHW)
            blocks_T = torch.from_numpy(self.grid.cells(*token_map_NDHW.shape[2:])).flatten().to(tokens_NTD.device)
            results = [self._score_one(tokens_TD, blocks_T) for tokens_TD in tokens_NTD]
        scores, levels, plcc = zip(*results, strict=True)
        if levels[0] is None:
            return SubsetScores(torch.stack(scores), None, None)
        return SubsetScores(torch.stack(scores), torch.stack(levels), torch.stack(plcc))

    def _score_one(self, tokens_TD: Tensor, blocks_T: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        # Tokens are brought into block order, so that every block is one slice; position in the sequence is
        # in the tokens already and attention does not know order.
        order_T = torch.argsort(blocks_T, stable=True) + 1
        tokens_TD = torch.cat([tokens_TD[:1], tokens_TD[order_T]])
        sizes = torch.bincount(blocks_T, minlength=self.grid.blocks).tolist()
        layers = list(self.model.encoder)
        first = FirstLayer(layers[0], tokens_TD, sizes)
        kept_SB = torch.from_numpy(self.grid.kept()).to(tokens_TD.device)
        quality_SD = first.quality(kept_SB)
        if len(layers) == 2:
            last = LastLayer(layers[1], quality_SD)
            self._add_blocks(first, last)
            quality_SD = last.finish()
        elif len(layers) > 2:
            quality_SD = self._deep(first, layers, kept_SB, quality_SD)
        prediction = self.model.read_out(quality_SD)
        levels_S5 = prediction.levels_N5
        if levels_S5 is None:
            return prediction.score_N, None, None
        return prediction.score_N, levels_S5[-1], level_plcc(levels_S5, levels_S5[-1])

    def _chunk(self, tokens: int, device: torch.device) -> int:
        """How many subsets to hold at once when each has ``tokens`` rows."""
        rows = self.rows or (CPU_ROWS if device.type == "cpu" else GPU_ROWS)
        return max(1, rows // tokens)

    def _add_blocks(self, first: FirstLayer, last: LastLayer) -> None:
        """Two layers: every block's tokens, for the subsets that keep the block, into the last layer's sums."""
        for block in range(self.grid.blocks):
            terms = BlockTerms(first, block, self.grid.blocks)
            chunk = max(1, self._chunk(terms.tokens, first.device) // terms.inner)
            workspace = Workspace(chunk * terms.inner * terms.tokens, first.layer, first.device)
            for start in range(0, terms.outer, chunk):
                subsets_S, tokens_SQD = terms.outputs(start, min(start + chunk, terms.outer), workspace)
                last.add(subsets_S, tokens_SQD)

    def _deep(self, first: FirstLayer, layers: list[EncoderLayer], kept_SB: Tensor, quality_SD: Tensor) -> Tensor:
        """Three layers or more: ordinary masked attention in the layers between, a chunk of subsets at a time."""
        done = []
        for kept, quality in zip(
            *(x.split(self._chunk(first.count, first.device)) for x in (kept_SB, quality_SD)), strict=True
        ):
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

    ``numerator_BTD`` and ``denominator_BTD`` (repeated over E) are relative to ``maximum``: of the whole row where
    float32 holds every subset's sum, else of each block apart (``safe`` False), combined by log-sum-exp. Index 0 of
    the first axis is the quality token's own term, block b is index b + 1.
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
        logits_ATT = query_ATE @ key_ATE.transpose(1, 2) / math.sqrt(query_ATE.shape[-1])
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
        starts = [1]
        for size in sizes:
            starts.append(starts[-1] + size)
        self.block_slices = [slice(a, b) for a, b in itertools.pairwise(starts)]

    def mixed(self, kept_SB: Tensor, queries: slice) -> Tensor:
        """The attention output before its projection, for any subsets: (S, Q, D)."""
        terms_SB = functional.pad(kept_SB, (1, 0), value=True).float()
        numerator_BQD, denominator_BQD = self.numerator_BTD[:, queries], self.denominator_BTD[:, queries]
        if self.safe:
            return torch.einsum("sb,bqd->sqd", terms_SB, numerator_BQD) / torch.einsum(
                "sb,bqd->sqd", terms_SB, denominator_BQD
            )
        width = numerator_BQD.shape[2] // self.maximum_BTA.shape[2]
        logs_SBQA = self.maximum_BTA[:, queries] + torch.log(terms_SB)[:, :, None, None]
        weights_SBQD = (logs_SBQA - logs_SBQA.amax(1, keepdim=True)).exp_().repeat_interleave(width, 3)
        return (weights_SBQD * numerator_BQD).sum(1) / (weights_SBQD * denominator_BQD).sum(1)

    def quality(self, kept_SB: Tensor) -> Tensor:
        """The quality token after the first layer, for any subsets: (S, D)."""
        return self._finish(kept_SB, slice(0, 1))[:, 0]

    def tokens(self, kept_SB: Tensor) -> Tensor:
        """All map tokens after the first layer, in block order: (S, T - 1, D)."""
        return self._finish(kept_SB, slice(1, None))

    def _finish(self, kept_SB: Tensor, queries: slice) -> Tensor:
        return self.layer.after_attention(
            self.tokens_TD[None, queries], self.layer.attention.output(self.mixed(kept_SB, queries))
        )


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
        if first.safe:
            always = [0, block + 1]
            self.inner_terms = [
                self._sums(terms, inner, always) for terms in (first.numerator_BTD, first.denominator_BTD)
            ]
            self.outer_terms = [self._sums(terms, outer, []) for terms in (first.numerator_BTD, first.denominator_BTD)]

    def _sums(self, terms_BTD: Tensor, group: list[int], always: list[int]) -> Tensor:
        """Sums of the terms of every combination of a group: (combinations, Q, D)."""
        terms_BQD = terms_BTD[:, self.queries]
        sums = terms_BQD[always].sum(0, keepdim=True)
        for other in group:
            sums = torch.cat([sums, sums + terms_BQD[other + 1]])
        return sums

    def outputs(self, start: int, stop: int, work: Workspace) -> tuple[Tensor, Tensor]:
        """Subset masks (S,) and token states (S, Q, D) of the outer combinations start .. stop."""
        layer = self.first.layer
        subsets_S = (self.outer_subsets_S[start:stop, None] | self.inner_subsets_S).flatten()
        count = len(subsets_S) * self.tokens
        mixed, state, hidden = work.mixed[:count], work.state[:count], work.hidden[:count]
        shape = (stop - start, self.inner, self.tokens, mixed.shape[1])
        if self.first.safe:
            torch.add(self.outer_terms[0][start:stop, None], self.inner_terms[0], out=mixed.view(shape))
            torch.add(self.outer_terms[1][start:stop, None], self.inner_terms[1], out=state.view(shape))
            mixed.div_(state)
        else:
            kept_SB = (subsets_S[:, None] >> torch.arange(len(self.first.sizes), device=subsets_S.device) & 1).bool()
            mixed.copy_(self.first.mixed(kept_SB, self.queries).flatten(0, 1))
        torch.mm(mixed, layer.attention.output.weight.t(), out=state)
        state.view(-1, *self.residual_QD.shape).add_(self.residual_QD)
        _layer_norm(state, layer.attention_norm, mixed)
        torch.addmm(layer.expand.bias, mixed, layer.expand.weight.t(), out=hidden).relu_()
        mixed.add_(layer.contract.bias).addmm_(hidden, layer.contract.weight.t())
        _layer_norm(mixed, layer.mlp_norm, state)
        return subsets_S, state.view(len(subsets_S), self.tokens, -1)


class Workspace:
    """Buffers that one block's chunks share, so that no chunk pays for fresh memory."""

    def __init__(self, rows: int, layer: EncoderLayer, device: torch.device) -> None:
        width, wide = layer.contract.out_features, layer.expand.out_features
        self.mixed = torch.empty(rows, width, device=device)
        self.state = torch.empty(rows, width, device=device)
        self.hidden = torch.empty(rows, wide, device=device)


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
        logits_SAQ = torch.bmm(self.query_SAD[subsets_S], tokens_SQD.transpose(1, 2))
        if masked_SQ is not None:
            logits_SAQ.masked_fill_(masked_SQ[:, None], -math.inf)
        before_SA = self.maximum_SA[subsets_S]
        after_SA = torch.maximum(before_SA, logits_SAQ.amax(2))
        weights_SAQ = logits_SAQ.sub_(after_SA[..., None]).exp_()
        shrink_SA = (before_SA - after_SA).exp_()
        self.maximum_SA[subsets_S] = after_SA
        self.total_SA[subsets_S] = torch.addcmul(weights_SAQ.sum(2), self.total_SA[subsets_S], shrink_SA)
        self.sum_SAD[subsets_S] = torch.baddbmm(
            self.sum_SAD[subsets_S].mul_(shrink_SA[..., None]), weights_SAQ, tokens_SQD
        )

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


def _subset_masks(group: list[int], device: torch.device) -> Tensor:
    """Bit masks of all combinations of a group of blocks, in counting order: int64 (2^len,)."""
    masks = torch.zeros(1, dtype=torch.int64, device=device)
    for block in group:
        masks = torch.cat([masks, masks | (1 << block)])
    return masks


def _layer_norm(x: Tensor, norm: torch.nn.LayerNorm, out: Tensor) -> None:
    """LayerNorm into a given buffer."""
    out.copy_(functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps))


class _full_precision:
    """TF32 off: it keeps ten bits of a product, which the 1e-5 promise does not survive."""

    def __enter__(self) -> None:
        self.before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self.before
