"""The architecture a second time, naive: one row, no batch, no cache, no mask tensor, one dot product at a time.

It reads a model's weights by name and its spec as data, and shares no formula with the package. Angles and sinusoids are
computed in fp64 here, in fp32 there: compare those within 2e-5.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Row(NamedTuple):
    """The real tokens of one row. index: their places in the batch's row of `length` places, None = 0, 1, …"""

    ids: list[int]
    pos: list[int]
    segment: list[int] | None = None
    mark: list[bool] | None = None
    types: list[int] | None = None
    index: list[int] | None = None
    length: int = 0


class Oracle:
    """logits(row) of a built model in eval mode. length: what a cache or a padded batch would tell the rotation."""

    def __init__(self, model: Any, length: int | None = None) -> None:
        self.spec, self.length = model.spec, length
        self.w = {n: p.detach() for n, p in model.named_parameters(remove_duplicate=False)}
        self.w |= dict(model.named_buffers())

    def logits(self, row: Row, source: Row | None = None) -> Tensor:
        if self.spec.decoder is None:
            x = self.stack("encoder", row)
        else:
            memory = None if source is None else self.stack("encoder", source)
            x = self.stack("decoder", row, memory, source)
        return self.head(x, row if source is None else source)

    # ------------------------------------------------------------ stack

    def stack(self, name: str, row: Row, memory: Tensor | None = None, source: Row | None = None) -> Tensor:
        spec = getattr(self.spec, name)
        x = self.embed(spec, f"{name}.embed", row)
        length = self.length or len(row.ids)
        first_x, first_v = x, None
        families: list[tuple] = []
        for i in range(spec.layers):
            attention = spec.blocks[spec.layout[i % len(spec.layout)]].attention
            key = (attention.position, attention.heads.heads, self._dim(attention.heads, spec.width))
            families += [] if key in families else [key]
        for i in range(spec.layers):
            block = spec.blocks[spec.layout[i % len(spec.layout)]]
            share = spec.sharing
            own = shared_set(share, i, spec.layers)
            at = f"{name}.layers.{own}"
            key = (block.attention.position, block.attention.heads.heads, self._dim(block.attention.heads, spec.width))
            table = self.w.get(f"{name}.relative.{families.index(key)}.weight")
            if getattr(key[0], "kind", "") == "disentangled" and key[0].norm is not None:
                table = self.norm(key[0].norm, f"{name}.relative.{families.index(key)}.norm", table)
            if block.residual.x0 and own > 0:
                mix = self.w[f"{at}.x0_mix"]
                x = mix[0] * x + mix[1] * first_x
            x, v = self.block(block, at, x, row, table, length, first_v, memory, source)
            first_v = v if i == 0 else first_v
        return x if spec.final_norm is None else self.norm(spec.final_norm, f"{name}.final_norm", x)

    @staticmethod
    def _dim(heads: Any, width: int) -> int:
        """Features of a head that a rotation may turn."""
        return heads.rope if heads.kind == "latent" else heads.head_dim or width // heads.heads

    def embed(self, spec: Any, at: str, row: Row) -> Tensor:
        e = spec.embedding
        out = []
        for t, token in enumerate(row.ids):
            x = self.w[f"{at}.token"][token] * e.scale  # a rounded scale is itself in fp64
            if e.project == "token":
                x = self.w[f"{at}.project.weight"] @ x
            if e.types:
                x = x + self.w[f"{at}.types"][row.types[t] if row.types else 0]
            x = x + self.absolute(e.position, at, row.pos[t], x.shape[0])
            if e.project == "sum_first":
                x = self.w[f"{at}.project.weight"] @ x
            if e.norm is not None:
                x = self.norm(e.norm, f"{at}.norm", x[None])[0]
            if e.project == "sum":
                x = self.w[f"{at}.project.weight"] @ x + self.w[f"{at}.project.bias"]
            out.append(x)
        return torch.stack(out)

    def absolute(self, p: Any, at: str, pos: int, d: int) -> Tensor:
        if p.kind == "none":
            return torch.zeros(d, dtype=torch.float64)
        if p.kind == "learned":
            return self.w[f"{at}.position.weight"][pos + p.offset]
        half = (d + 1) // 2
        span = d / 2 if p.step == "half" else half - 1
        pos = pos + p.offset
        angles = [pos / p.base ** (i / span) for i in range(half)]
        if p.layout == "pairs":
            values = [f(a) for a in angles for f in (math.sin, math.cos)]
        else:
            values = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        return torch.tensor(values[:d], dtype=torch.float64)

    # ------------------------------------------------------------ block

    def block(
        self, b: Any, at: str, x: Tensor, row: Row, table: Any, length: int, first_v: Any, memory: Any, source: Any
    ) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []

        def attend(h: Tensor) -> Tensor:
            o, v = self.attention(b.attention, f"{at}.attention", h, row, h, row, table, length, first_v)
            kept.append(v)
            return o

        def cross(h: Tensor) -> Tensor:
            return self.attention(b.cross, f"{at}.cross", h, row, memory, source, None, length, None)[0]

        def feed(h: Tensor) -> Tensor:
            return torch.stack([self.feed(b.ffn, f"{at}.ffn", t) for t in h])

        r = b.residual
        if r.parallel != "no":
            join = f"{at}.join_attention"
            n1 = self.norm(b.norm, f"{join}.ins.0", x)
            n2 = n1 if r.parallel == "one_norm" else self.norm(b.norm, f"{join}.ins.1", x)
            y = x + self.gain(r, join, 0, attend(n1)) + self.gain(r, join, 1, feed(n2))
            return y, kept[0]
        x = self.join(b, f"{at}.join_attention", x, attend)
        if b.cross is not None:
            x = self.join(b, f"{at}.join_cross", x, cross)
        return self.join(b, f"{at}.join_ffn", x, feed), kept[0]

    def gain(self, r: Any, join: str, i: int, y: Tensor) -> Tensor:
        return y * self.w[f"{join}.gains.{i}"] if r.gain.kind in ("layer_scale", "rezero") else y

    def join(self, b: Any, join: str, x: Tensor, f: Any) -> Tensor:
        r, n = b.residual, b.norm
        skip = r.gain.alpha if r.gain.kind == "deepnorm" else 1.0
        if r.placement == "pre" and r.skip_first_norm and join.endswith("join_attention"):
            return x + self.gain(r, join, 0, f(x))
        if r.placement == "pre":
            return skip * x + self.gain(r, join, 0, f(self.norm(n, f"{join}.ins.0", x)))
        if r.placement == "post":
            return self.norm(n, f"{join}.after", skip * x + self.gain(r, join, 0, f(x)))
        if r.placement == "sandwich":
            inner = self.norm(n, f"{join}.outs.0", f(self.norm(n, f"{join}.ins.0", x)))
            return x + self.gain(r, join, 0, inner)
        if r.placement == "inner":
            return x + self.gain(r, join, 0, self.norm(n, f"{join}.outs.0", f(x)))
        return x + self.gain(r, join, 0, f(x))

    def norm(self, n: Any, at: str, x: Tensor) -> Tensor:
        out = []
        for t in x:
            if n.kind == "layer":
                centred = t - t.sum() / len(t)
                variance = (centred**2).sum() / len(t)
                y = centred / ((variance + n.eps) ** 0.5 if n.form == "sqrt" else variance**0.5 + n.eps)
                y = y * self.w[f"{at}.weight"] if n.gain else y
                y = y + self.w[f"{at}.bias"] if n.bias else y
            elif n.kind == "rms":
                y = t / ((t**2).sum() / len(t) + n.eps) ** 0.5
                if n.gain != "none":
                    y = y * (self.w[f"{at}.weight"] + (1 if n.gain == "one_plus" else 0))
            elif n.kind == "dyt":
                y = torch.tanh(self.w[f"{at}.alpha"] * t) * self.w[f"{at}.weight"] + self.w[f"{at}.bias"]
            elif n.kind == "batch":
                y = (t - self.w[f"{at}.mean"]) / (self.w[f"{at}.var"] + n.eps) ** 0.5
                y = y * self.w[f"{at}.weight"] + self.w[f"{at}.bias"]
            else:
                y = t
            out.append(y)
        return torch.stack(out)

    # ------------------------------------------------------------ attention

    def linear(self, at: str, x: Tensor) -> Tensor:
        y = x @ self.w[f"{at}.weight"].T
        return y + self.w[f"{at}.bias"] if f"{at}.bias" in self.w else y

    def split(self, h: Any, at: str, norm_at: str, x: Tensor, n: int, d: int, normed: bool) -> list[list[Tensor]]:
        """[head][token] of width d."""
        y = self.linear(at, x)
        if normed and h.qk_norm is not None and h.qk_norm_over == "all":
            y = self.norm(h.qk_norm, norm_at, y)
        heads = [y[:, i * d : (i + 1) * d] for i in range(n)]
        if normed and h.qk_norm is not None and h.qk_norm_over == "head":
            heads = [self.norm(h.qk_norm, norm_at, t) for t in heads]
        return [list(t) for t in heads]

    def attention(
        self, a: Any, at: str, xq: Tensor, rq: Row, xk: Tensor, rk: Row, table: Any, length: int, first_v: Any
    ) -> tuple[Tensor, Tensor]:
        h = a.heads
        if h.kind == "latent":
            return self.latent(a, at, xq, rq, table, length), torch.zeros(0)
        d, kv = self._dim(h, xq.shape[1]), h.kv_heads or h.heads
        q = self.split(h, f"{at}.heads.q", f"{at}.heads.q_norm", xq, h.heads, d, True)
        k = self.split(h, f"{at}.heads.k", f"{at}.heads.k_norm", xk, kv, d, True)
        own = torch.stack([torch.stack(t) for t in self.split(h, f"{at}.heads.v", "", xk, kv, d, False)])
        v = own
        if first_v is not None and f"{at}.value_mix" in self.w:
            v = own + self.w[f"{at}.value_mix"] * first_v
        if a.position.kind == "rotary":
            q = [[rotate(a.position, t, p, d, length) for t, p in zip(head, rq.pos, strict=True)] for head in q]
            k = [[rotate(a.position, t, p, d, length) for t, p in zip(head, rk.pos, strict=True)] for head in k]
        scale = h.scale if h.scale is not None else 1 / math.sqrt(d)
        far = None
        if a.global_heads and f"{at}.heads.q.weight" in self.w:  # the same attention over everything, by other weights
            wide = a.model_copy(update={"pattern": FULL, "global_heads": False})
            other = {n.replace(f"{at}.global_heads.", f"{at}.heads."): t for n, t in self.w.items() if "global" in n}
            mine, self.w = self.w, {**self.w, **other}
            far = self.attention(wide, at, xq, rq, xk, rk, table, length, None)[0]
            self.w = mine
        out = []
        for i in range(len(rq.ids)):
            seen = [j for j in range(len(rk.ids)) if sees(a.pattern, rq, i, rk, j, cross=rk is not rq)]
            mixed = []
            for n in range(h.heads):
                g = n // (h.heads // kv)
                if a.mixing.kind in ("linformer", "linear", "performer"):
                    mixed.append(self.approximate(a.mixing, f"{at}.mixing", q[n][i], [k[g][j] for j in seen], v[g][seen], rk, scale))
                    continue
                scores = []
                for j in seen:
                    s = (q[n][i] * k[g][j]).sum() * scale
                    s = h.softcap * torch.tanh(s / h.softcap) if h.softcap else s
                    if a.position.kind in ("disentangled", "shaw"):
                        s = s + scale * self.content(a.position, h, at, table, n, g, q[n][i], k[g][j], rq.pos[i] - rk.pos[j])
                    s = s + score_bias(a.position, table, n, h.heads, rq.pos[i], rk.pos[j])
                    scores.append(s + repeats(a.pattern, rq, i, rk, j))
                sink = [self.w[f"{at}.heads.sinks"][n]] if h.sinks else []
                weights = weigh(a.mixing, torch.stack(scores + sink))
                mixed.append(sum((w * v[g][j] for w, j in zip(weights, seen, strict=not sink)), torch.zeros(d).double()))
            out.append(torch.cat(mixed))
        y = self.linear(f"{at}.heads.o", torch.stack(out))
        if far is not None and rq.mark is not None:
            y = torch.stack([far[i] if rq.mark[i] else y[i] for i in range(len(y))])
        return y, own

    def approximate(self, m: Any, at: str, q: Tensor, keys: list[Tensor], values: Tensor, row: Row, scale: float) -> Tensor:
        """One query's answer without scores of pairs, over the keys it may see."""
        if m.kind == "linformer":
            e = self.w[f"{at}.e"]
            f = self.w.get(f"{at}.f", e)
            long = [sum(e[r, p] * k for p, k in zip(row.pos, keys, strict=True)) for r in range(m.rank)]
            weights = torch.stack([(q * k).sum() * scale for k in long]).softmax(0)
            return sum(weights[r] * f[r, p] * v for r in range(m.rank) for p, v in zip(row.pos, values, strict=True))
        if m.kind == "linear":
            raised = [torch.where(x > 0, x + 1, x.exp()) for x in (q, *keys)]
        else:
            raised = [torch.stack([(w @ x - x @ x / 2).exp() for w in self.w[f"{at}.directions"]]) for x in (t * scale**0.5 for t in (q, *keys))]
        weights = [float(raised[0] @ k) for k in raised[1:]]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    def content(self, p: Any, h: Any, at: str, table: Tensor, n: int, g: int, q: Tensor, k: Tensor, far: int) -> Tensor:
        """What the pair's distance (query − key) has to say to this query and this key."""
        if p.kind == "shaw":
            return (q * table[p.distance + max(-p.distance, min(p.distance, -far))]).sum()
        if p.distance is not None and abs(far) > p.span // 2:
            m = p.span // 2
            steps = math.ceil(math.log(abs(far) / m) / math.log((p.distance - 1) / m) * (m - 1) - 1e-6)
            far = (m + steps) * (1 if far > 0 else -1)
        row, d = table[max(0, min(2 * p.span - 1, far + p.span))][None], len(q)
        asks = self.linear(f"{at}.heads.q", row)[0, n * d : (n + 1) * d]
        asked = self.linear(f"{at}.heads.k", row)[0, g * d : (g + 1) * d]
        return (q * asked).sum() + (k * asks).sum()

    def latent(self, a: Any, at: str, x: Tensor, row: Row, table: Any, length: int) -> Tensor:
        """DeepSeek-V2 eq. 9–19, one head after the other."""
        h, at = a.heads, f"{at}.heads"
        c_kv = self.linear(f"{at}.kv_a", x)
        shared, c_kv = c_kv[:, h.kv_rank :], self.norm(h.norm, f"{at}.kv_a_norm", c_kv[:, : h.kv_rank])
        if h.q_rank:
            queries = self.linear(f"{at}.q_b", self.norm(h.norm, f"{at}.q_a_norm", self.linear(f"{at}.q_a", x)))
        else:
            queries = self.linear(f"{at}.q", x)
        turn = a.position.kind == "rotary"
        spin = [rotate(a.position, t, p, h.rope, length) if turn else t for t, p in zip(shared, row.pos, strict=True)]
        out = []
        for n in range(h.heads):
            size, made = h.nope + h.rope, h.nope + h.value
            up = self.w[f"{at}.kv_b.weight"][n * made : (n + 1) * made]
            mine = queries[:, n * size : (n + 1) * size]
            mixed = []
            for i in range(len(row.ids)):
                still, moved = mine[i][: h.nope], mine[i][h.nope :]
                moved = rotate(a.position, moved, row.pos[i], h.rope, length) if turn else moved
                seen, scores = [j for j in range(len(row.ids)) if sees(a.pattern, row, i, row, j)], []
                for j in seen:
                    s = (still * (up[: h.nope] @ c_kv[j])).sum() + (moved * spin[j]).sum()
                    s = s * (h.scale if h.scale is not None else size**-0.5)
                    scores.append(s + score_bias(a.position, table, n, h.heads, row.pos[i], row.pos[j]))
                weights = torch.stack(scores).softmax(0)
                mixed.append(sum(w * (up[h.nope :] @ c_kv[j]) for w, j in zip(weights, seen, strict=True)))
            out.append(torch.stack(mixed))
        return self.linear(f"{at}.o", torch.cat(out, -1))

    # ------------------------------------------------------------ feed-forward

    def feed(self, f: Any, at: str, x: Tensor) -> Tensor:
        if f.kind == "plain":
            return self.linear(f"{at}.down", ACTS[f.act](self.linear(f"{at}.up", x)))
        if f.kind == "gated":
            return self.linear(f"{at}.down", gate(f.act, self.linear(f"{at}.gate", x), self.linear(f"{at}.up", x)))
        logits = self.linear(f"{at}.router", x)
        scores = logits.softmax(0) if f.router == "softmax" else 1 / (1 + (-logits).exp())
        ranking = scores + self.w[f"{at}.router.correction"] if f.correction else scores
        size = f.experts // f.groups
        groups = [ranking[g * size : (g + 1) * size] for g in range(f.groups)]
        worth = [float(g.max() if f.group_score == "max" else sum(sorted(g.tolist())[-2:])) for g in groups]
        best = sorted(range(f.groups), key=lambda g: -worth[g])[: f.top_groups]
        open_ = [e for e in range(f.experts) if e // size in best]
        chosen = sorted(open_, key=lambda e: -float(ranking[e]))[: f.top_k]
        total = sum(scores[e] for e in chosen) if f.normalise else 1.0
        y = torch.zeros_like(x)
        for e in chosen:
            parts = []
            for name in ("gate", "up"):
                z = self.w[f"{at}.{name}"][e] @ x
                parts.append(z + self.w[f"{at}.{name}_bias"][e] if f.bias else z)
            z = self.w[f"{at}.down"][e] @ gate(f.act, *parts)
            z = z + self.w[f"{at}.down_bias"][e] if f.bias else z
            y = y + f.scale * scores[e] / total * z
        if f.shared:
            s = f"{at}.shared"
            y = y + self.linear(f"{s}.down", gate(f.act, self.linear(f"{s}.gate", x), self.linear(f"{s}.up", x)))
        return y

    def head(self, x: Tensor, read: Row) -> Tensor:
        name, h = next(iter(self.spec.heads.items()))
        at = f"heads.{name}"
        kinds = h.pool if isinstance(h.pool, tuple) else (h.pool,)
        x = x if h.pool == "none" else torch.cat([pooled(x, kind, read.ids, h.eos) for kind in kinds])[None]
        x = self.norm(h.input_norm, f"{at}.input_norm", x) if h.input_norm else x
        y = self.linear(f"{at}.dense", x) if h.dense else x
        y = ACTS[h.act](y) if h.act else y
        x = x + self.linear(f"{at}.back", y) if h.back else y
        x = self.norm(h.norm, f"{at}.norm", x) if h.norm else x
        if h.output:
            top = "encoder" if self.spec.decoder is None else "decoder"
            x = x @ self.w[f"{top}.embed.token" if h.tied else f"{at}.weight"].T
            x = x + self.w[f"{at}.bias"] if h.bias else x
        x = x * h.scale
        x = h.softcap * torch.tanh(x / h.softcap) if h.softcap else x
        x = x / (x**2).sum(-1, keepdim=True).sqrt() if h.normalise else x
        return x if h.pool == "none" else x[0]


# ---------------------------------------------------------------- formulas


def pooled(x: Tensor, kind: str, ids: list[int], eos: int | None) -> Tensor:
    if kind == "first_mean":
        return torch.cat([x[0], pooled(x, "mean_patches", ids, eos)])
    n, total = len(x), x.sum(0)
    if kind == "mean_patches":
        return x[1:].sum(0) / max(n - 1, 1)
    if kind == "weighted_mean":
        return sum((t + 1) * x[t] for t in range(n)) / (n * (n + 1) / 2)
    if kind in ("mean", "mean_sqrt"):
        return total / (n if kind == "mean" else n**0.5)
    if kind == "max":
        return torch.stack([max(column) for column in x.T])
    place = {"first": 0, "last": n - 1, "largest_id": ids.index(max(ids))}.get(kind)
    if kind in ("eos", "last_eos"):
        where = [t for t, i in enumerate(ids) if i == eos]
        place = where[0 if kind == "eos" else -1]
    return x[place]


def shared_set(share: Any, i: int, layers: int) -> int:
    if share.kind == "groups":
        run, j = i // share.inner, i % share.inner
        return int(run / (layers / share.inner / share.groups)) * share.inner + j
    return {"none": i, "cycle": i % getattr(share, "period", 1)}[share.kind]


def sees(p: Any, rq: Row, i: int, rk: Row, j: int, cross: bool = False) -> bool:
    if not cross and rq.segment is not None and rq.segment[i] != rk.segment[j]:
        return False
    far = rq.pos[i] - rk.pos[j]
    if p.kind == "full":
        return True
    if p.kind == "causal":
        return far >= 0
    if p.kind == "prefix":
        return far >= 0 or bool(rk.mark and rk.mark[j])
    if p.kind == "window":
        return -p.ahead <= far <= p.back
    if p.kind == "document":
        return rq.segment is None or rq.segment[i] == rk.segment[j]
    if p.kind == "marked":
        return bool(p.keys and rk.mark and rk.mark[j]) or bool(p.queries and rq.mark and rq.mark[i])
    if p.kind == "dilated":
        return far in [n * p.step for n in range(-p.ahead, p.back + 1)]
    if p.kind == "strided":
        return 0 <= far <= p.back or far >= 0 and far % p.stride == 0
    if p.kind == "chunked":
        return math.floor(rq.pos[i] / p.size) == math.floor(rk.pos[j] / p.size)
    if p.kind == "block_sparse":
        a, b, n = blocks(p, rq, i, rk, j)
        if n is None or {a, b} & {0, n - 1} or abs(a - b) <= 1:
            return True
        return p.draw == "seeded" and b in drawn(p.seed, a, n, p.random)
    return (all if p.kind == "and" else any)(sees(part, rq, i, rk, j) for part in p.parts)


def weigh(m: Any, s: Tensor) -> Tensor:
    """Scores of the keys that are seen → weights."""
    if m.kind == "sigmoid":
        return 1 / (1 + len(s) * torch.exp(-s))
    if m.kind == "relu":
        return torch.where(s > 0, s, 0.0) / len(s)
    if m.kind == "softmax":
        return torch.exp(s - s.max()) / torch.exp(s - s.max()).sum()
    power = {"entmax": 2, "sparsemax": 1}[m.kind]
    s, low, high = s / power, float(s.max()) / power - 1, float(s.max()) / power
    for _ in range(200):  # the threshold at which the weights sum to 1
        tau = (low + high) / 2
        total = (s - tau).clamp(min=0) ** power
        low, high = (tau, high) if total.sum() > 1 else (low, tau)
    return total


FULL = type("Full", (), {"kind": "full"})()


def blocks(p: Any, rq: Row, i: int, rk: Row, j: int) -> tuple[int, int, int | None]:
    """The blocks of a query and a key, and their number (None where rows are too short for it)."""
    length = rq.length or len(rq.ids)
    a, b = (row.index[t] if row.index else t for row, t in ((rq, i), (rk, j)))
    n = math.ceil(length / p.block) if length > (5 + 2 * p.random) * p.block else None
    return a // p.block, b // p.block, n


def drawn(seed: int, row: int, n: int, count: int) -> list[int]:
    """The blocks a BigBird row draws: those that hash least, among the ones it does not see anyway."""

    def mix(x: int) -> int:
        for _ in range(2):
            x = ((x >> 16 ^ x) * 0x45D9F3B) % 2**32
        return x >> 16 ^ x

    start = mix(mix(seed) + row)
    return sorted((c for c in range(1, n - 1) if abs(c - row) > 1), key=lambda c: (mix(start + c), c))[:count]


def repeats(p: Any, rq: Row, i: int, rk: Row, j: int) -> float:
    """ln of how often a key counts: Hugging Face's BigBird draws block 0 for every random block."""
    if p.kind == "and":
        return sum(repeats(part, rq, i, rk, j) for part in p.parts)
    if p.kind != "block_sparse" or p.draw != "block0":
        return 0.0
    a, b, n = blocks(p, rq, i, rk, j)
    return 0.0 if n is None or b != 0 or a in (0, n - 1) else math.log(1 + p.random)


def frequencies(p: Any, r: int, length: int) -> tuple[list[float], float]:
    """facts: r rotated features, inv_k = θ^(−2k/r), changed by the scaling; and the factor on cos and sin."""
    inv, s = [p.theta ** (-2 * k / r) for k in range(r // 2)], p.scaling
    if s is None:
        return inv, 1.0
    if s.kind == "linear":
        return [f / s.factor for f in inv], 1.0
    if s.kind == "dynamic":
        grown = s.factor * max(length, s.original) / s.original - (s.factor - 1)
        theta = p.theta * grown ** (r / (r - 2))
        return [theta ** (-2 * k / r) for k in range(r // 2)], 1.0
    if s.kind == "longrope":
        return [f / x for f, x in zip(inv, s.short if length <= s.original else s.long, strict=True)], s.attention
    if s.kind == "llama3":
        out = []
        for f in inv:
            wave = 2 * math.pi / f
            if wave > s.original / s.low:
                out.append(f / s.factor)
            elif wave < s.original / s.high:
                out.append(f)
            else:
                t = (s.original / wave - s.low) / (s.high - s.low)
                out.append((1 - t) * f / s.factor + t * f)
        return out, 1.0
    ends = [r * math.log(s.original / (2 * math.pi * b)) / (2 * math.log(p.theta)) for b in (s.fast, s.slow)]
    a, b = (math.floor(ends[0]), math.ceil(ends[1])) if s.truncate else ends
    a, b = max(a, 0), min(b, r - 1)
    b = b + 0.001 if a == b else b
    ramp = [min(max((k - a) / (b - a), 0), 1) for k in range(r // 2)]
    mixed = [w * f / s.factor + (1 - w) * f for w, f in zip(ramp, inv, strict=True)]
    return mixed, s.attention if s.attention is not None else (0.1 * math.log(s.factor) + 1 if s.factor > 1 else 1.0)


def rotate(p: Any, x: Tensor, pos: int, d: int, length: int) -> Tensor:
    r = p.dim or d
    inv, factor = frequencies(p, r, length)
    out = x.clone()
    for k in range(r // 2):
        i, j = (2 * k, 2 * k + 1) if p.interleaved else (k, k + r // 2)
        turned = complex(float(x[i]), float(x[j])) * complex(math.cos(pos * inv[k]), math.sin(pos * inv[k])) * factor
        out[i], out[j] = turned.real, turned.imag
    return out


def slopes(heads: int) -> list[float]:
    n = 1
    while 2 * n <= heads:
        n *= 2
    return [2.0 ** (-8 * i / n) for i in range(1, n + 1)] + [
        2.0 ** (-8 * (2 * i - 1) / (2 * n)) for i in range(1, heads - n + 1)
    ]


def bucket(p: Any, i: int, j: int) -> int:
    """T5: exact up to half of the buckets, then logarithmic up to `distance`; the upper half looks ahead."""
    n, start, far = p.buckets, 0, i - j
    if p.two_sided:
        n //= 2
        start, far = (n if j > i else 0), abs(i - j)
    far = max(far, 0)
    exact = n // 2
    if far < exact:
        return start + far
    return start + min(n - 1, exact + int(math.log(far / exact) / math.log(p.distance / exact) * (n - exact) + 1e-6))


def score_bias(p: Any, table: Any, head: int, heads: int, i: int, j: int) -> Tensor | float:
    if p.kind == "buckets":
        return table[bucket(p, i, j), head]
    if p.kind != "alibi":
        return 0.0
    slope = slopes(heads)[head]
    if p.form == "relative":
        return -slope * abs(i - j) * p.scale
    if not p.rounded:
        return slope * j * p.scale
    short = [float(torch.tensor(float(x)).bfloat16()) for x in (slope, j)]
    return float(torch.tensor(short[0] * short[1]).bfloat16()) * p.scale


ACTS = {
    "relu": lambda x: torch.where(x > 0, x, 0.0),
    "relu2": lambda x: torch.where(x > 0, x * x, 0.0),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "tanh": torch.tanh,
}


def gate(act: str, g: Tensor, u: Tensor) -> Tensor:
    if act != "clamped_swiglu":
        return ACTS[act](g) * u
    g, u = torch.minimum(g, torch.tensor(7.0).double()), u.clamp(-7.0, 7.0)
    return (u + 1) * g / (1 + torch.exp(-1.702 * g))
