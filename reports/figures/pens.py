"""A figure drawn once, as SVG and as PDF: all that its artists compute is the same for both, and takes longer than writing it down."""

# matplotlib's renderers have no types.
# mypy: allow-untyped-calls

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure


class Pens:
    """matplotlib's two renderers as one: what is drawn both draw; places and sizes are the SVG's, which counts heights from above."""

    def __init__(self, svg: RendererSVG, pdf: RendererPdf) -> None:
        self._svg, self._pdf = svg, pdf
        self.new_gc = pdf.new_gc

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("draw_"):
            return getattr(self._svg, name)

        def both(*arguments: Any, **more: Any) -> None:
            getattr(self._svg, name)(*arguments, **more)
            getattr(self._pdf, name)(*arguments, **more)

        return both

    def draw_text(self, gc: Any, x: float, y: float, *arguments: Any, **more: Any) -> None:
        self._svg.draw_text(gc, x, y, *arguments, **more)
        self._pdf.draw_text(gc, x, self._svg.height - y, *arguments, **more)


def drawn(figure: Figure) -> tuple[str, bytes]:
    """The figure as SVG and as PDF, without dates."""
    svg, pdf = io.StringIO(), io.BytesIO()
    figure.dpi = 72
    width, height = figure.get_size_inches()
    file = PdfFile(pdf, {"CreationDate": None, "Creator": None, "Producer": None})
    file.newPage(width, height)
    pens = RendererSVG(72 * width, 72 * height, svg, metadata={"Date": None}), RendererPdf(file, 72, height, width)
    figure.draw(Pens(*pens))  # type: ignore[arg-type]
    for pen in pens:
        pen.finalize()
    file.finalize()
    file.close()
    return svg.getvalue(), pdf.getvalue()
