"""Networks as the files of other runtimes: ONNX, and the programs of `torch.export`.

export      a network to a file, which is run and compared with the network before it gets its name
"""

from nonlocalnet.formats.exporting.export import ExportReport, export

__all__ = ["ExportReport", "export"]
