"""Any ONNX file as an encoder: its entry defines preprocessing, output and pooling."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino import preprocess

from lookalike.encoders.identity import architecture
from lookalike.encoders.model_config import ModelEntry
from lookalike.encoders.openvino_runtime import Network, last_line, read_network
from lookalike.encoders.weight_files import check_sha256, read_file
from lookalike.errors import BadSetting


def store(data: bytes, entry: ModelEntry, source: str) -> bytes:
    """The file itself, after its digest and its syntax are verified."""
    check_sha256(data, entry.sha256, source)
    read_network(data, source)
    return data


def open_network(path: Path, entry: ModelEntry) -> Network:
    """The network of a file, with the entry's preprocessing and pooling added to its graph.

    Raises Damaged for a file that is not ONNX or has another digest, BadSetting where entry and network disagree.
    """
    data = read_file(path, entry)
    check_sha256(data, entry.sha256, str(path))
    model = read_network(data, str(path))
    _select_output(model, entry)
    batch = _set_shape(model, entry)
    model = _add_preprocessing(model, entry)
    return Network(model, hashlib.sha256(data).hexdigest(), architecture(entry), batch)


def _port(ports: list[Any], name: str | None, field: str, entry: ModelEntry) -> Any:
    if name is None and len(ports) == 1:
        return ports[0]
    found = [port for port in ports if name in port.get_names()]
    if len(found) != 1:
        names = ", ".join(sorted(port.any_name if port.get_names() else "(unnamed)" for port in ports))
        raise BadSetting(f"[{entry.name}] {field} must be one of the network's ports: {names}; not {name!r}")
    return found[0]


def _select_output(model: ov.Model, entry: ModelEntry) -> None:
    """Keep only the configured output, pooled over its spatial axes and flattened."""
    port = _port(list(model.outputs), entry.output, "output", entry)
    x = port.get_node().input_value(0)
    rank = x.get_partial_shape().rank
    if entry.pooling != "none":
        if rank.is_dynamic or rank.get_length() != 4:
            raise BadSetting(f"[{entry.name}] pooling {entry.pooling} needs an output of 4 dimensions, not {rank}")
        spatial_axes = np.array([2, 3] if entry.layout == "NCHW" else [1, 2])
        reduce = ops.reduce_max if entry.pooling == "max" else ops.reduce_mean
        x = reduce(x, spatial_axes, keep_dims=False).output(0)
    elif rank.is_dynamic or rank.get_length() != 2:
        x = ops.reshape(x, np.array([0, -1]), special_zero=True).output(0)
    for result in list(model.get_results()):
        model.remove_result(result)
    model.add_results([ops.result(ops.convert(x, "f32"), name="feature")])
    model.validate_nodes_and_infer_types()


def _set_shape(model: ov.Model, entry: ModelEntry) -> int | None:
    """Set the image's size, and a dynamic batch where possible; returns the fixed batch size, or None."""
    port = _port(list(model.inputs), entry.input, "input", entry)
    width, height = entry.size
    image_shape = [height, width, 3] if entry.layout == "NHWC" else [3, height, width]
    problem = ""
    for batch in (-1, 1):
        try:
            model.reshape({port: ov.PartialShape([batch, *image_shape])})
        except RuntimeError as error:
            problem = last_line(error)
            continue
        shape = model.outputs[0].get_partial_shape()
        if shape[1].is_static and shape[1].get_length() != entry.dimensions:
            raise BadSetting(f"[{entry.name}] dimensions is {entry.dimensions}, the network gives {shape[1]}")
        if batch == 1 or shape[0].is_dynamic:
            return None if batch == -1 else 1
    raise BadSetting(f"[{entry.name}] size, layout: the network does not take {entry.layout} {image_shape}: {problem}")


def _add_preprocessing(model: ov.Model, entry: ModelEntry) -> ov.Model:
    """Prepend color order, type, scale, mean and layout to the network; its input is then RGB NHWC uint8."""
    kinds = {"uint8": ov.Type.u8, "float32": ov.Type.f32}
    port = _port(list(model.inputs), entry.input, "input", entry)
    if port.get_element_type() != kinds[entry.dtype]:
        raise BadSetting(f"[{entry.name}] dtype is {entry.dtype}, the network takes {port.get_element_type()}")
    steps = preprocess.PrePostProcessor(model)
    image = steps.input(0) if entry.input is None else steps.input(entry.input)
    image.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    image.tensor().set_color_format(preprocess.ColorFormat.RGB)
    if entry.colour == "BGR":
        image.preprocess().convert_color(preprocess.ColorFormat.BGR)
    if entry.dtype == "float32":
        image.preprocess().convert_element_type(ov.Type.f32)
        image.preprocess().scale(1.0 / entry.scale).mean(list(entry.mean)).scale(list(entry.std))
    image.model().set_layout(ov.Layout(entry.layout))
    return steps.build()
