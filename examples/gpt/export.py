"""Exports the two graphs of the GPT example: one training step, and the forward pass alone.

    python3 examples/gpt/export.py [--out DIR]

Needs only Python packages: torch, onnx, onnxscript, numpy. The committed files were made with
torch 2.13.0 (CPU), onnx 1.23.1, onnxscript 0.7.2 and Python 3.11; running the demo needs no Python.

  gpt-step.onnx     tokens, targets [BATCH, CONTEXT] int64, every weight  ->  loss, grad.<weight> for every weight
  gpt-forward.onnx  tokens [batch, CONTEXT] int64, every weight           ->  logits [batch, CONTEXT, VOCAB]

The weights are inputs, so the files hold the arithmetic and no numbers: whoever runs a graph owns the weights.
The script ends by running both graphs with onnx's reference evaluator and printing the largest difference from
what PyTorch's own autograd computes.
"""

import argparse
import pathlib

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch._decomp import core_aten_decompositions
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

VOCAB, CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 96, 64, 128, 4, 4, 16
TOLERANCE = 1e-5


class Attention(nn.Module):
    """Causal self-attention; one matrix makes queries, keys and values."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask):
        batch = x.shape[0]
        heads = [part.view(batch, CONTEXT, HEADS, -1).transpose(1, 2) for part in self.qkv(x).split(WIDTH, -1)]
        query, key, value = heads
        weights = (query @ key.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5 + mask).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).reshape(batch, CONTEXT, WIDTH))


def squared_relu(x):
    positive = F.relu(x)
    return positive * positive


class SquaredReLU(torch.autograd.Function):
    """The same with its gradient written down: one product, where autograd makes three passes (and GELU a dozen)."""

    @staticmethod
    def forward(ctx, x):
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx, grad):
        (positive,) = ctx.saved_tensors
        return (positive + positive) * grad


class MLP(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(WIDTH), Attention()
        self.ln2, self.mlp = nn.LayerNorm(WIDTH), MLP(activation)

    def forward(self, x, mask):
        x = x + self.attn(self.ln1(x), mask)
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    """Learned positions, normalization before each part, the embedding matrix reused as the output layer."""

    def __init__(self, activation):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(VOCAB, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h = nn.ModuleList(Block(activation) for _ in range(LAYERS))
        self.lnf = nn.LayerNorm(WIDTH)

    def forward(self, onehot):
        # A product with one-hot rows instead of a lookup: then its gradient is a plain product as well.
        x = onehot @ self.wte.weight + self.wpe.weight
        mask = torch.full((CONTEXT, CONTEXT), -1e9).triu(1)
        for block in self.h:
            x = block(x, mask)
        return self.lnf(x) @ self.wte.weight.t()


def onehot(ids):
    return (ids.unsqueeze(-1) == torch.arange(VOCAB)).float()


def run_forward(model, names, tokens, *weights):
    return functional_call(model, dict(zip(names, weights)), (onehot(tokens),))


def run_step(model, names, tokens, targets, *weights):
    leaves = [weight.detach().requires_grad_() for weight in weights]
    logits, wanted = run_forward(model, names, tokens, *leaves), onehot(targets)
    log_probs = F.log_softmax(logits.detach(), -1)
    loss = -(log_probs * wanted).sum(-1).mean()
    # The gradient of the loss with respect to the logits is known; autograd takes it from there.
    return (loss, *torch.autograd.grad(logits, leaves, (log_probs.exp() - wanted) / tokens.numel()))


class Forward(nn.Module):
    """`run_forward` as a module, so that the exporter may leave its batch dimension open."""

    def __init__(self, model, names):
        super().__init__()
        self.hold, self.names = [model], names  # In a list: the weights are inputs, not this module's own.

    def forward(self, tokens, weights):
        return run_forward(self.hold[0], self.names, tokens, *weights)


def save(program, path):
    """Writes the graph without what only the exporter needs: stack traces, shapes of inner values, its own names."""
    proto = program.model_proto
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    for number, node in enumerate(proto.graph.node):
        node.name, node.doc_string = f'n{number}', ''
        del node.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        value.doc_string = ''
        del value.metadata_props[:]
    proto.producer_name, proto.producer_version, proto.graph.name = 'examples/gpt/export.py', '', path.stem
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    print(f'{path.name}: {len(proto.graph.node)} nodes, {path.stat().st_size / 1024:.0f} KiB')


def export_step(model, names, weights, ids, path):
    example = (*ids, *weights)
    trace = make_fx(lambda *a: run_step(model, names, *a), decomposition_table=core_aten_decompositions())
    outputs = ['loss', *(f'grad.{name}' for name in names)]
    save(
        torch.onnx.export(
            trace(*example), example, dynamo=True, input_names=['tokens', 'targets', *names], output_names=outputs
        ),
        path,
    )


def export_forward(model, names, weights, tokens, path):
    shapes = {'tokens': {0: torch.export.Dim('batch')}, 'weights': [None] * len(weights)}
    save(
        torch.onnx.export(
            Forward(model, names).eval(),
            (tokens, weights),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=['tokens', *names],
            output_names=['logits'],
        ),
        path,
    )


def check(path, feeds, expected):
    """The largest difference between the file's outputs and PyTorch's, by the evaluator that onnx itself brings."""
    actual = ReferenceEvaluator(str(path)).run(None, feeds)
    assert len(actual) == len(expected)
    expected = [value.detach().numpy() for value in expected]
    worst = max(float(np.abs(a - e).max()) for a, e in zip(actual, expected))
    relative = max(float(np.abs(a - e).max() / np.abs(e).max()) for a, e in zip(actual, expected))
    print(f'{path.name}: largest difference from PyTorch {worst:.1e}, {relative:.1e} of the output that it is in')
    assert relative < TOLERANCE, f'{path.name} differs from PyTorch'


def main():
    parser = argparse.ArgumentParser(description='Exports the graphs of the GPT example.')
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path(__file__).parent)
    out = parser.parse_args().out

    torch.manual_seed(0)
    model = GPT(squared_relu).eval()
    names = [name for name, _ in model.named_parameters()]
    for name, weight in model.named_parameters():
        nn.init.normal_(weight, std=0.02)  # Every weight of another value, so that the check below sees them all.
        if name.endswith(('ln1.weight', 'ln2.weight', 'lnf.weight')):
            nn.init.normal_(weight, mean=1, std=0.02)
    weights = [weight.detach() for weight in model.parameters()]
    print(f'{len(names)} weights, {sum(weight.numel() for weight in weights):,} parameters')

    tokens, targets = torch.randint(0, VOCAB, (2, BATCH, CONTEXT))
    export_step(GPT(SquaredReLU.apply), names, weights, (tokens, targets), out / 'gpt-step.onnx')
    export_forward(model, names, weights, tokens, out / 'gpt-forward.onnx')

    logits = model(onehot(tokens))
    loss = F.cross_entropy(logits.view(-1, VOCAB), targets.view(-1))
    loss.backward()
    by_name = {name: weight.numpy() for name, weight in zip(names, weights)}
    ids = {'tokens': tokens.numpy(), 'targets': targets.numpy()}
    check(out / 'gpt-step.onnx', {**ids, **by_name}, [loss, *(p.grad for p in model.parameters())])
    check(out / 'gpt-forward.onnx', {'tokens': ids['tokens'][:3], **by_name}, [logits[:3]])


if __name__ == '__main__':
    main()
