"""The course as pages that open anywhere, from a stick too: a page for each lesson and an index, nothing fetched."""
