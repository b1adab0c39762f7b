"""Writes schedules.json, plateau.json and scaler.json beside this file: numbers computed by PyTorch.

    python3 generate.py        (PyTorch 2.13.0, CPU)

The tests read only the JSON. Nothing of the project needs Python or PyTorch.
"""

import json
import math
import os
import warnings

import torch
from torch.optim import lr_scheduler as s

warnings.simplefilter("ignore")
here = os.path.dirname(os.path.abspath(__file__))


def write(name, data):
    with open(os.path.join(here, name), "w") as file:
        json.dump({"reference": f"PyTorch {torch.__version__}", **data}, file, indent=None, separators=(",", ":"))
        file.write("\n")


def optimizer(lr, **options):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, **options)


def run(make, lr, steps, key="lr", **options):
    """The values that steps 0, 1, … of the optimizer use."""
    opt = optimizer(lr, **options)
    scheduler = make(opt)
    values = []
    for _ in range(steps):
        values.append(opt.param_groups[0][key])
        opt.step()
        scheduler.step()
    return values


def case(family, options, values, **more):
    return {"family": family, "options": options, "values": values, **more}


def one_cycle(total, key="lr", peak=0.1, **options):
    more = {"momentum": 0.9} if key == "momentum" else {}
    cycle = {"cycle_momentum": key == "momentum", **options}
    # The last call of step() would be beyond the end, which PyTorch refuses.
    opt = optimizer(peak, **more)
    scheduler = s.OneCycleLR(opt, max_lr=peak, total_steps=total, **cycle)
    values = []
    for i in range(total):
        values.append(opt.param_groups[0][key])
        opt.step()
        if i < total - 1:
            scheduler.step()
    return values


def schedules():
    cases = [
        case("constant", {"value": 0.3}, run(lambda o: s.ConstantLR(o, factor=1.0), 0.3, 8)),
        case(
            "linear",
            {"initValue": 0.05, "endValue": 0.2, "transitionSteps": 7},
            run(lambda o: s.LinearLR(o, start_factor=0.25, end_factor=1.0, total_iters=7), 0.2, 12),
        ),
        case(
            "linear",
            {"initValue": 0.2, "endValue": 0.02, "transitionSteps": 5},
            run(lambda o: s.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=5), 0.2, 9),
        ),
    ]
    for power in (0.5, 1.0, 2.0, 3.5):
        values = run(lambda o: s.PolynomialLR(o, total_iters=11, power=power), 0.1, 16)
        cases.append(
            case("polynomial", {"initValue": 0.1, "endValue": 0, "transitionSteps": 11, "power": power}, values)
        )
    cases.append(
        case("exponential", {"initValue": 0.1, "decayRate": 0.9}, run(lambda o: s.ExponentialLR(o, 0.9), 0.1, 30))
    )
    for floor in (0.0, 0.01):
        # Beyond T_max PyTorch's cosine rises again; ours keeps its floor, so the values stop there.
        values = run(lambda o: s.CosineAnnealingLR(o, T_max=20, eta_min=floor), 0.1, 21)
        cases.append(case("cosine", {"initValue": 0.1, "decaySteps": 20, "endValue": floor}, values))
        for mult in (1, 2, 3):
            values = run(lambda o: s.CosineAnnealingWarmRestarts(o, 5, T_mult=mult, eta_min=floor), 0.1, 70)
            cases.append(
                case("cosineRestarts", {"initValue": 0.1, "period": 5, "tMult": mult, "endValue": floor}, values)
            )
    cases.append(
        case("step", {"initValue": 0.1, "stepSize": 4, "gamma": 0.5}, run(lambda o: s.StepLR(o, 4, 0.5), 0.1, 20))
    )
    cases.append(
        case(
            "multiStep",
            {"initValue": 0.1, "milestones": [3, 8, 8, 15], "gamma": 0.3},
            run(lambda o: s.MultiStepLR(o, [3, 8, 8, 15], 0.3), 0.1, 20),
        )
    )
    for total in (2, 10, 37, 100):
        for three in (False, True):
            for strategy in ("cos", "linear"):
                for start in (0.3, 0.45):
                    torch_options = {"pct_start": start, "three_phase": three, "anneal_strategy": strategy}
                    ours = {
                        "totalSteps": total,
                        "pctStart": start,
                        "threePhase": three,
                        "annealStrategy": strategy,
                    }
                    cases.append(case("oneCycle", {"peakValue": 0.1, **ours}, one_cycle(total, **torch_options)))
                    cases.append(case("oneCycleMomentum", ours, one_cycle(total, "momentum", **torch_options)))
    cases.append(
        case(
            "oneCycle",
            {"peakValue": 0.2, "totalSteps": 40, "divFactor": 10, "finalDivFactor": 100},
            one_cycle(40, peak=0.2, div_factor=10, final_div_factor=100),
        )
    )
    cases.append(
        case(
            "oneCycleMomentum",
            {"totalSteps": 40, "baseMomentum": 0.8, "maxMomentum": 0.99},
            one_cycle(40, "momentum", base_momentum=0.8, max_momentum=0.99),
        )
    )

    def warm_cosine(o):
        ramp = s.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=6)
        return s.SequentialLR(o, [ramp, s.CosineAnnealingLR(o, T_max=14, eta_min=0.001)], [6])

    cases.append(
        case(
            "warmup",
            {"steps": 6, "from": 0.01},
            run(warm_cosine, 0.1, 21),
            inner={"initValue": 0.1, "decaySteps": 14, "endValue": 0.001},
        )
    )

    def joined(o):
        parts = [s.ConstantLR(o, factor=1.0), s.ExponentialLR(o, 0.5), s.StepLR(o, 3, 0.1)]
        return s.SequentialLR(o, parts, [4, 9])

    cases.append(case("join", {"boundaries": [4, 9]}, run(joined, 0.1, 20)))
    write("schedules.json", {"cases": cases})


def plateau():
    """Metrics of several shapes through ReduceLROnPlateau; lrs[i] are the groups' after metric i."""
    torch.manual_seed(1)
    noise = torch.rand(60, dtype=torch.float64).tolist()
    falling = [math.exp(-i / 8) + 0.05 * n for i, n in enumerate(noise)]
    steps = [1 - (i // 9) * 0.1 + (0.002 if i % 9 else 0) for i in range(60)]
    broken = [1.0, 0.5, None, None, 0.4, 0.4, None, 0.4, 0.4, 0.1, 0.2, 0.3, 0.2, 0.3, 0.3]
    cases = []
    variants = [
        {},
        {"patience": 2},
        {"patience": 0, "factor": 0.5},
        {"patience": 2, "cooldown": 3, "factor": 0.5},
        {"patience": 1, "threshold": 0.05},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
        {"patience": 1, "min_lr": 1e-3},
        {"patience": 1, "min_lr": [1e-3, 2e-2]},
        {"patience": 1, "factor": 0.5, "eps": 0.02},
        {"patience": 3, "factor": 0, "min_lr": 1e-5},
    ]
    for name, metrics in {"falling": falling, "steps": steps, "broken": broken}.items():
        for mode in ("min", "max"):
            for variant in variants:
                opt = torch.optim.SGD(
                    [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.5)]
                )
                scheduler = s.ReduceLROnPlateau(opt, mode=mode, **variant)
                lrs = []
                for metric in metrics:
                    given = math.nan if metric is None else metric if mode == "min" else -metric
                    scheduler.step(given)
                    lrs.append([group["lr"] for group in opt.param_groups])
                options = {
                    "".join(w if i == 0 else w.capitalize() for i, w in enumerate(key.split("_"))): value
                    for key, value in variant.items()
                }
                cases.append({"metrics": name, "options": {"mode": mode, **options}, "lrs": lrs})
    write("plateau.json", {"initial": [0.1, 0.5], "metrics": {"falling": falling, "steps": steps, "broken": broken}, "cases": cases})


def scaler():
    """torch._amp_update_scale_, the function behind torch.amp.GradScaler; scales[i] is the scale after report i."""
    torch.manual_seed(2)
    cases = []
    for options in (
        {},
        {"growthInterval": 1},
        {"initScale": 1024.0, "growthInterval": 3, "growthFactor": 1.5, "backoffFactor": 0.7},
        {"initScale": 2.0**125, "growthInterval": 2},
        {"initScale": 3e38, "growthInterval": 1, "growthFactor": 1.1},
    ):
        full = {"initScale": 65536.0, "growthFactor": 2.0, "backoffFactor": 0.5, "growthInterval": 2000, **options}
        scale = torch.tensor(full["initScale"])
        tracker = torch.tensor(0, dtype=torch.int32)
        reports = (torch.rand(40) < 0.15).tolist()
        scales, trackers = [], []
        for bad in reports:
            torch._amp_update_scale_(
                scale,
                tracker,
                torch.tensor(1.0 if bad else 0.0),
                full["growthFactor"],
                full["backoffFactor"],
                full["growthInterval"],
            )
            scales.append(scale.item())
            trackers.append(tracker.item())
        cases.append({"options": options, "reports": reports, "scales": scales, "trackers": trackers})
    write("scaler.json", {"cases": cases})


schedules()
plateau()
scaler()
