"""Spatial frequency: ten band-pass responses at every pixel, and one map from them (Section 3 of the paper).

The paper says that the highest frequency of the pixel grid stands for 50 cycles/degree and that [0, 50] is cut into ten
bins; not how a Fourier transform becomes ten numbers a pixel, nor how these become one. Here:

- The luma is continued by mirroring and its transform cut into ten ideal rings, so that every pixel has ten signed
  responses; with the mean luma (DC) they sum back to the luma. A horizontal or vertical frequency of half a cycle a
  pixel is 50 cycles/degree; the corners beyond it are in the last band.
- The map is a weighted sum of the ten magnitudes: ``flat`` weights (the literal text), ``csf`` (contrast sensitivity
  at the bin centres) or ``csf_whitened`` (each band divided by its mean over many photos first: natural photos fall
  as 1/f, and plain sensitivity weights mostly measure the first band).

Shape suffixes: H and W rows and columns, K the ten bands, R some rows, V some columns, M maps.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from halfiqa_ray.measures.pixels import Map

Combination = Literal["flat", "csf", "csf_whitened"]
BANDS = 10
ROWS = 16  # transformed back at once
NYQUIST = 50.0  # cycles/degree
# Rounding to 8 bits alone leaves more than this in every band; below it a band holds nothing but float noise.
LEAST_BAND_MEAN = 1e-3  # grey levels


def bin_centres() -> NDArray[np.float64]:
    """Centres of the ten bins in cycles/degree: 2.5, 7.5 ... 47.5."""
    return (np.arange(BANDS, dtype=np.float64) + 0.5) * (NYQUIST / BANDS)


def contrast_sensitivity(frequency: ArrayLike) -> NDArray[np.float64]:
    """A(f) = 2.6 (0.0192 + 0.114 f) exp(-(0.114 f)^1.1), f in cycles/degree, highest .98 near 7.9.

    J. Mannos and D. Sakrison, "The effects of a visual fidelity criterion on the encoding of images" (1974).
    """
    f = 0.114 * np.asarray(frequency, dtype=np.float64)
    return 2.6 * (0.0192 + f) * np.exp(-(f**1.1))


def band_weights(combination: Combination, band_means_K: ArrayLike | None = None) -> NDArray[np.float64]:
    """The weight of each band's magnitude, float64 (K,).

    ``band_means_K`` are the mean magnitudes over the whole data set (the mean of ``band_means`` over its photos), which
    ``csf_whitened`` needs and the others ignore; a band that is empty in the whole data set weighs 0.
    Raises ValueError when they are missing, not ten, negative or not finite.
    """
    if combination == "flat":
        return np.ones(BANDS)
    sensitivity_K = contrast_sensitivity(bin_centres())
    if combination == "csf":
        return sensitivity_K
    if band_means_K is None:
        raise ValueError(
            "csf_whitened divides every band by its mean over the data set: pass the mean of band_means(luma) over the "
            "photos, or choose the combination flat or csf"
        )
    means_K = np.asarray(band_means_K, dtype=np.float64)
    if means_K.shape != (BANDS,) or not np.isfinite(means_K).all() or (means_K < 0).any():
        raise ValueError(f"band means must be {BANDS} finite numbers of 0 or more, got {means_K.tolist()}")
    empty_K = means_K < LEAST_BAND_MEAN
    return np.where(empty_K, 0, sensitivity_K / np.where(empty_K, 1, means_K))


def band_responses(luma_HW: Map) -> Map:
    """The ten signed responses in grey levels, from low to high frequency: float32 (K, H, W).

    Their sum and the mean luma give the luma back (to float32 rounding).
    """
    return np.concatenate([each_KRW.copy() for each_KRW in _responses(luma_HW)], axis=1)


def band_means(luma_HW: Map) -> NDArray[np.float64]:
    """Mean magnitude of each band over one photo in grey levels: float64 (K,)."""
    sums_K = np.zeros(BANDS)
    for responses_KRW in _responses(luma_HW):
        sums_K += np.abs(responses_KRW, out=responses_KRW).sum((1, 2), dtype=np.float64)
    return sums_K / luma_HW.size


def frequency_maps(luma_HW: Map, weights_MK: ArrayLike) -> Map:
    """Weighted sums of the ten magnitudes, one map for every row of weights: float32 (M, H, W), 0 or more.

    In grey levels for ``flat`` and ``csf``, without unit for ``csf_whitened``.
    """
    weights = np.asarray(weights_MK, dtype=np.float32)
    maps_MHW = np.empty((len(weights), *luma_HW.shape), np.float32)
    top = 0
    for responses_KRW in _responses(luma_HW):
        bottom = top + responses_KRW.shape[1]
        magnitudes_KRW = np.abs(responses_KRW, out=responses_KRW)
        # Not a matrix product, which would use more than one thread.
        np.einsum("mk,krw->mrw", weights, magnitudes_KRW, out=maps_MHW[:, top:bottom])
        top = bottom
    return maps_MHW


def _responses(luma_HW: Map) -> Iterator[Map]:
    """The signed responses of a few rows R at a time, from the top: float32 (K, R, W).

    For the mirrored image the Fourier transform is the cosine transform of the image itself, a quarter of the work:
    coefficient (u, v) has u / 2H and v / 2W cycles a pixel. It is transformed back along the columns as a whole, along
    the rows a few at a time, so that they and what is done with them stay in the processor's cache.
    """
    height, width = luma_HW.shape
    # The mean goes first: its rounding would give an even image a pattern, and DC is in no band anyway.
    columns = _band_columns(luma_HW - np.float32(luma_HW.mean(dtype=np.float64)))
    buffer = np.empty((BANDS, ROWS, width), np.float32)
    for top in range(0, height, ROWS):
        coefficients_KRW = buffer[:, : height - top]
        for band_RW, columns_HV in zip(coefficients_KRW, columns, strict=True):
            band_RW[:, : columns_HV.shape[1]] = columns_HV[top : top + ROWS]
            band_RW[:, columns_HV.shape[1] :] = 0
        yield fft.idct(coefficients_KRW, axis=2, norm="ortho", overwrite_x=True)


def _band_columns(luma_HW: Map) -> list[Map]:
    """The cosine transform within each band, transformed back along the columns: float32 (H, V) each.

    V are the columns up to the band's outer edge: there is nothing to transform beyond. ``luma_HW`` is overwritten.
    """
    band_HW = band_of_coefficient(*luma_HW.shape)
    coefficients_HW = fft.dctn(luma_HW, norm="ortho", overwrite_x=True)
    heights = [np.count_nonzero(band_HW[:, 0] <= band) for band in range(BANDS)]
    widths = [np.count_nonzero(band_HW[0] <= band) for band in range(BANDS)]
    # One array for all: the memory pages of ten would take as long as the transforms.
    masked = np.zeros((len(luma_HW), sum(widths)), np.float32)
    starts = np.cumsum(widths)[:-1]
    for band, columns_HV in enumerate(np.split(masked, starts, axis=1)):
        inside = np.s_[: heights[band], : widths[band]]
        np.copyto(columns_HV[: heights[band]], coefficients_HW[inside], where=band_HW[inside] == band)
    return np.split(fft.idct(masked, axis=0, norm="ortho", overwrite_x=True), starts, axis=1)


@functools.lru_cache(maxsize=2)
def band_of_coefficient(height: int, width: int) -> NDArray[np.int8]:
    """The band of every coefficient of the cosine transform, -1 for DC: int8 (H, W)."""
    down = np.arange(height) * (NYQUIST / height)
    across = np.arange(width) * (NYQUIST / width)
    radius_HW = np.hypot(down[:, None], across[None, :])
    band_HW = np.minimum(radius_HW * (BANDS / NYQUIST), BANDS - 1).astype(np.int8)
    band_HW[0, 0] = -1
    return band_HW
