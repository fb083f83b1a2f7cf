"""Writes cases/normalisation: examples worked by hand, and edge cases of normalisation, dropout and embedding.

``python tests/making/normalisation_cases.py`` rewrites the files; ``tests/levels/test_normalisation.py`` checks that
they are up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from case_writing import write

from backprop_check.case.network import Case

if TYPE_CHECKING:
    from collections.abc import Iterator


Json = dict[str, Any]


def case(name: str, layers: list[Json], inputs: list[Any], targets: list[Any], **more: Any) -> Case:
    """A case of these layers; ½ squared error, summed, unless given."""
    shape = []
    part = inputs[0]
    while isinstance(part, list):
        shape.append(len(part))
        part = part[0]
    whole = {
        "name": name,
        "network": {"inputs": shape, "layers": layers},
        "loss": {"kind": "half_squared_error"},
        "reduction": "sum",
        "inputs": inputs,
        "targets": targets,
        **more,
    }
    return Case.from_dict(whole)


def sgd(rate: float, steps: int = 1) -> Json:
    return {"optimizer": {"kind": "sgd", "learning_rate": rate}, "steps": steps}


def affine(*weight: float, bias: tuple[float, ...] = ()) -> Json:
    return {"weight": list(weight), "bias": list(bias or [0.25] * len(weight))}


def batch_norm(parameters: Json, *, training: bool = True, eps: float = 1e-5, **more: Any) -> Json:
    return {"kind": "batch_norm", "training": training, "eps": eps, "parameters": parameters, **more}


def running(mean: list[float], variance: list[float]) -> Json:
    return {"momentum": 0.1, "buffers": {"running_mean": mean, "running_var": variance}}


def worked_examples() -> Iterator[tuple[Case, Json]]:
    """Every example worked by hand, with its digits. ε is so large that the square roots are short decimals."""
    statistics: Json = {"momentum": 0.75, "buffers": {"running_mean": [1.0], "running_var": [1.0]}}
    yield (
        case(
            "hand-batch-norm",
            [batch_norm({"weight": [2.0], "bias": [1.0]}, eps=2.0, **statistics)],
            [[1.0], [3.0], [3.0], [5.0]],
            [[-2.0], [0.0], [1.0], [4.0]],
            **sgd(0.5),
        ),
        {
            "title": "Batch normalisation by hand: one feature, four samples",
            "source": "worked by hand: μ = 3, σ² = 2, √(σ² + ε) = 2, x̂ = −1, 0, 0, 1; g = γ ∂L/∂a = 2, 2, 0, −2 "
            "with mean ½, mean(g x̂) = −1, ∂L/∂x = ½ (g − ½ + x̂); Σ(x − μ)²/3 = 8/3 moves the running variance",
            "published": {
                "loss": 1.5,
                "layers[0].a": [[-1.0], [1.0], [1.0], [3.0]],
                "layers[0].delta": [[1.0], [1.0], [0.0], [-1.0]],
                "layers[0].gradients.weight": [-2.0],
                "layers[0].gradients.bias": [1.0],
                "layers[0].updated.weight": [3.0],
                "layers[0].updated.bias": [0.5],
                "layers[0].buffers.running_mean": [2.5],
                "layers[0].buffers.running_var": [2.25],
                "input_gradients": [[0.25], [0.75], [-0.25], [-0.75]],
            },
            "erratum": None,
        },
    )
    yield (
        case(
            "hand-layer-norm",
            [
                {
                    "kind": "layer_norm",
                    "normalized_shape": [4],
                    "eps": 2.0,
                    "parameters": {"weight": [1.0, 2.0, 2.0, -1.0], "bias": [0.0, 1.0, 0.0, 0.5]},
                }
            ],
            [[1.0, 3.0, 3.0, 5.0]],
            [[-2.0, 0.5, 1.0, -2.5]],
        ),
        {
            "title": "Layer normalisation by hand: one sample, four features",
            "source": "worked by hand: μ = 3, σ² = 2, √(σ² + ε) = 2, x̂ = −1, 0, 0, 1; g = γ ∂L/∂a = 1, 1, −2, −2 "
            "with mean −½, mean(g x̂) = −¾, ∂L/∂x = ½ (g + ½ + ¾ x̂)",
            "published": {
                "loss": 3.125,
                "layers[0].a": [[-1.0, 1.0, 0.0, -0.5]],
                "layers[0].delta": [[1.0, 0.5, -1.0, 2.0]],
                "layers[0].gradients.weight": [-1.0, 0.0, 0.0, 2.0],
                "layers[0].gradients.bias": [1.0, 0.5, -1.0, 2.0],
                "input_gradients": [[0.375, 0.75, -0.75, -0.375]],
            },
            "erratum": None,
        },
    )


def edge_cases() -> Iterator[tuple[str, Case]]:
    """Every edge case with its title."""
    yield from norms()
    yield from dropouts()
    yield from embeddings()


def norms() -> Iterator[tuple[str, Case]]:
    two = affine(0.75, -1.5, bias=(0.5, 0.25))
    targets = [[0.5, -0.25], [0.25, 1.0], [-0.75, 0.5]]
    yield (
        "a feature that is the same in every sample: its variance is 0, ε decides",
        case("batch-norm-constant-feature", [batch_norm(two)], [[3.0, 0.5], [3.0, -1.25], [3.0, 0.75]], targets),
    )
    yield (
        "two samples: x̂ is almost 1 and −1 whatever they are, and almost no gradient is left",
        case("batch-norm-two-samples", [batch_norm(two)], [[0.5, -0.25], [1.5, 2.0]], targets[:2]),
    )
    yield (
        "one sample, whose positions are the batch",
        case("batch-norm-one-sample", [batch_norm(two)], [[[0.5, 1.5, -0.25], [2.0, 0.75, 1.0]]],
             [[[0.25, -0.5, 1.0], [0.5, 0.75, -1.0]]]),
    )  # fmt: skip
    yield (
        "a mean far from 0: the mean of squares less the square of the mean loses digits",
        case("batch-norm-far-from-zero", [batch_norm(two)], [[30.5, -29.0], [29.25, -30.5], [31.0, -31.25]], targets),
    )
    yield (
        "evaluation with a running variance of 0",
        case("batch-norm-running-zero", [batch_norm(two, training=False, eps=0.01, **running([0.5, 1.0], [0.0, 2.0]))],
             [[0.75, 0.5], [0.5, -1.25]], targets[:2]),
    )  # fmt: skip
    yield (
        "three steps: the running statistics move in each",
        case("batch-norm-three-steps", [batch_norm(two, **running([0.0, 0.0], [1.0, 1.0]))],
             [[0.5, -0.25], [1.5, 2.0], [-1.0, 0.75]], targets, **sgd(0.05, 3)),
    )  # fmt: skip
    for name, momentum in (("nothing", 0.0), ("everything", 1.0)):
        yield (
            f"a momentum that keeps {'everything' if momentum == 0 else 'nothing'} of the running statistics",
            case(f"batch-norm-momentum-{name}",
                 [batch_norm(two, **{**running([0.5, 1.0], [0.25, 2.0]), "momentum": momentum})],
                 [[0.5, -0.25], [1.5, 2.0], [-1.0, 0.75]], targets),
        )  # fmt: skip
    layer_norm = {"kind": "layer_norm", "eps": 1e-5}
    yield (
        "numbers that are all the same: the output is the bias",
        case("layer-norm-constant",
             [{**layer_norm, "normalized_shape": [3], "parameters": affine(1.5, -0.5, 0.75, bias=(0.5, 1.0, -0.25))}],
             [[0.75, 0.75, 0.75], [-2.0, -2.0, -2.0]], [[0.5, 0.25, 1.0], [-0.5, 0.75, 0.25]]),
    )  # fmt: skip
    yield (
        "one number by itself: it is its own mean, and nothing flows back",
        case("layer-norm-one-number", [{**layer_norm, "normalized_shape": [1], "parameters": affine(1.5)}],
             [[[0.5], [2.0]]], [[[1.0], [-0.5]]]),
    )  # fmt: skip
    group = {"kind": "group_norm", "eps": 0.001}
    images = [[[[0.5, -1.0], [1.5, 0.25]], [[2.0, 0.75], [-0.5, 1.25]]]]
    wanted = [[[[0.5, 1.0], [-0.25, 0.75]], [[-1.0, 0.5], [0.25, -0.5]]]]
    yield (
        "one group of all channels",
        case("group-norm-one-group", [{**group, "num_groups": 1, "parameters": affine(0.75, -1.5)}], images, wanted),
    )
    yield (
        "as many groups as channels: an instance norm",
        case("group-norm-channels", [{**group, "num_groups": 2, "parameters": affine(0.75, -1.5)}], images, wanted),
    )
    yield (
        "a channel that is the same everywhere",
        case("instance-norm-constant", [{"kind": "instance_norm", "eps": 0.001}],
             [[[0.5, 0.5, 0.5], [1.0, -0.5, 0.25]]], [[[0.25, -0.5, 1.0], [0.5, 0.75, -1.0]]]),
    )  # fmt: skip
    yield (
        "all zeros: only ε keeps the root mean square from 0",
        case("rms-norm-zeros",
             [{"kind": "rms_norm", "normalized_shape": [3], "eps": 0.01, "parameters": {"weight": [0.5, 1.5, -0.75]}}],
             [[0.0, 0.0, 0.0]], [[0.5, -0.25, 1.0]]),
    )  # fmt: skip


def dropouts() -> Iterator[tuple[str, Case]]:
    def dropped(name: str, p: float, mask: Any, inputs: Any = ((0.5, -1.25, 2.0), (1.5, 0.75, -0.5))) -> Case:
        layer = {"kind": "dropout", "p": p, "training": mask is not None, **({} if mask is None else {"mask": mask})}
        return case(name, [layer], [list(row) for row in inputs], [[0.25, 0.5, -1.0], [1.0, -0.25, 0.75]])

    yield "everything is dropped", dropped("dropout-everything", 0.5, [[0, 0, 0], [0, 0, 0]])
    yield "nothing is dropped, and all is scaled", dropped("dropout-nothing", 0.25, [[1, 1, 1], [1, 1, 1]])
    yield "p is 0: nothing is scaled", dropped("dropout-p-zero", 0.0, [[1, 0, 1], [1, 1, 1]])
    yield "p near 1: what is kept grows a hundredfold", dropped("dropout-p-near-one", 0.99, [[0, 1, 0], [0, 0, 0]])
    yield "evaluation passes everything on", dropped("dropout-evaluation", 0.5, None)
    yield (
        "units that are 0 and kept get a gradient, those that are dropped get none",
        dropped("dropout-kept-zeros", 0.5, [[1, 0, 1], [0, 1, 1]], ((0.0, 0.0, 2.0), (0.0, 0.75, 0.0))),
    )


def embeddings() -> Iterator[tuple[str, Case]]:
    def looked_up(name: str, indices: list[list[int]], rows: int = 3, **more: Any) -> Case:
        table = [[(7 * row + 3 * j) % 11 / 8 - 0.5 for j in range(2)] for row in range(rows)]
        layer = {"kind": "embedding", "num_embeddings": rows, "embedding_dim": 2, **more}
        targets = [[[0.5, 0.75 - 0.25 * t] for t, _ in enumerate(row)] for row in indices]
        return case(name, [{**layer, "parameters": {"weight": table}}], indices, targets, **sgd(0.1))

    yield "one index, everywhere: its row's gradient is the sum of all", looked_up("embedding-alike", [[1, 1], [1, 1]])
    yield "padding only: no row learns", looked_up("embedding-padding-only", [[2, 2, 2]], padding_idx=2)
    yield "padding among others", looked_up("embedding-padding", [[0, 2, 0], [1, 0, 2]], padding_idx=0)
    yield "the first and the last row of a long table", looked_up("embedding-long-table", [[0, 99]], rows=100)
    yield "a table of one row", looked_up("embedding-one-row", [[0, 0]], rows=1)


def files() -> Iterator[tuple[Case, Json]]:
    """Every case with the other fields of its file."""
    yield from worked_examples()
    yield from ((one, {"title": title}) for title, one in edge_cases())


def main() -> None:
    """Write them all."""
    write("normalisation", files())


if __name__ == "__main__":
    main()
