"""Stage: names of photos in, their spatial information and size out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from halfiqa_ray.data.photos.images import Bounds, ImageError, read_photo
from halfiqa_ray.data.spatial_information import spatial_information

MEASURED = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("bytes", pa.int64()),  # with `modified`: which state of the photo was measured
        pa.field("modified", pa.int64()),  # nanoseconds since 1970
        pa.field("width", pa.int32()),  # null for an error
        pa.field("height", pa.int32()),
        pa.field("spatial_information", pa.float64()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
    ]
)


@dataclass(frozen=True)
class MeasureSpatialInformation:
    """Decodes photos (columns image_id, uri, bytes, modified) and measures them; an unreadable one becomes an error."""

    bounds: Bounds

    def __call__(self, photos: pa.Table) -> pa.Table:
        """One row a photo, with the columns of ``MEASURED``."""
        return pa.Table.from_pylist([self.measure(photo) for photo in photos.to_pylist()], schema=MEASURED)

    def measure(self, photo: dict[str, Any]) -> dict[str, Any]:
        """One photo."""
        row = {name: photo[name] for name in ("image_id", "bytes", "modified")}
        try:
            [pixels] = read_photo(photo["uri"], self.bounds).pixels
        except ImageError as error:
            return row | {"error": error.kind, "message": str(error)}
        height, width = pixels.shape[:2]
        return row | {"width": width, "height": height, "spatial_information": spatial_information(pixels)}
