"""Which option and which state of torch.optim is which of ours. The tables are all there is to it."""

import re

import torch


class Refused(Exception):
    """One sentence for the user."""


def camel(name):
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def torch_name(name):
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)


#: Options of torch that choose an implementation, or that other tools leave in the groups; they mean nothing to us.
TORCH_ONLY = {
    "params",
    "param_names",
    "foreach",
    "capturable",
    "differentiable",
    "fused",
    "initial_lr",
    "base_lr",
    "max_lr",
    "min_lr",
    "max_momentum",
    "base_momentum",
}


class Entry:
    """One of our classes and its counterpart.

    options: torch's names; ours are the same in camelCase, unless `renamed` has another.
    fixed: what torch must have for this class.
    ours: options that torch does not have, with the value that does what torch does.
    uses: for states that are kept only with some options: the condition.
    counts: whether torch counts steps; from_the_start: whether it makes states with the optimizer.
    """

    def __init__(self, torch_class, options, states, *, fixed=None, ours=None, renamed=None, values=None, uses=None,
                 scalars=(), counts=True, from_the_start=False):  # fmt: skip
        self.torch_name = torch_class
        self.options = options.split()
        self.states = states.split()
        self.fixed = fixed or {}
        self.ours = ours or {}
        self.renamed = renamed or {}
        self.values = values or {}
        self.uses = uses or {}
        self.scalars = scalars
        self.counts = counts
        self.from_the_start = from_the_start

    def used(self, group):
        return [state for state in self.states if state not in self.uses or self.uses[state](group)]

    def node_name(self, option):
        return self.renamed.get(option, camel(option))

    def node_options(self, group, index):
        """The options of one of our groups from one of torch's."""
        unknown = sorted(set(group) - set(self.options) - set(self.fixed) - TORCH_ONLY)
        if unknown:
            raise Refused(f'Expected no option "{unknown[0]}" in group {index}: {self.torch_name} has none here.')
        result = {}
        for option in self.options:
            value = group.get(option, False)  # an older torch has not all switches
            value = value.item() if isinstance(value, torch.Tensor) else value
            if option in self.values:
                value = self.values[option][value]
            result[self.node_name(option)] = list(value) if isinstance(value, tuple) else value
        if result.get("momentum") == 0 and "dampening" in result:
            result["dampening"] = 0  # torch ignores it then
        for name, value in self.ours.items():
            result[name] = result["lr"] if value == "lr" else value
        return result

    def torch_options(self, group, index):
        """The options of one of torch's groups, complete, from one of ours."""
        torch_class = getattr(torch.optim, self.torch_name, None)
        if torch_class is None:
            raise Refused(f"torch {torch.__version__} has no {self.torch_name}.")
        result = dict(torch_class([torch.nn.Parameter(torch.zeros(1, 1))]).param_groups[0])
        known = {self.node_name(option): option for option in self.options}
        backwards = {option: {ours: theirs for theirs, ours in table.items()} for option, table in self.values.items()}
        for name, value in group.items():
            if name in known:
                option = known[name]
                if option in backwards:
                    if value not in backwards[option]:
                        raise Refused(f"torch.optim.{self.torch_name} has no {option} for {name} {value}.")
                    value = backwards[option][value]
                value = tuple(value) if isinstance(value, list) else value
                if option in result:
                    result[option] = value
                elif value:
                    raise Refused(f"{self.torch_name} of torch {torch.__version__} has no option {option}.")
            elif name != "params" and not self.same_as_torch(name, value, group):
                raise Refused(f"Expected {name} of group {index} to be {self.ours.get(name)} but it is {value}: "
                              f"torch.optim.{self.torch_name} has no such option.")  # fmt: skip
        for option, value in self.fixed.items():
            if option in result:
                result[option] = value
        del result["params"]
        return result

    def same_as_torch(self, name, value, group):
        if name in ("maxLr", "nsDtype") or (name == "decoupledWeightDecay" and group.get("weightDecay") == 0):
            return True
        if name in self.ours:
            return value == self.ours[name]
        return not value  # an option of a later version, off


ADAM = "lr betas eps weight_decay amsgrad maximize"
ADAM_STATES = "exp_avg exp_avg_sq max_exp_avg_sq"
AMSGRAD = {"max_exp_avg_sq": lambda group: group["amsgrad"]}
ADAMW_OURS = {"decoupleLr": False, "maxLr": "lr"}
SGD_OURS = {"decoupledWeightDecay": False, "lrInMomentum": False}


class Classes(dict):
    camel = staticmethod(camel)


CLASSES = Classes(
    SGD=Entry(
        "SGD",
        "lr weight_decay maximize",
        "",
        fixed={"momentum": 0, "dampening": 0, "nesterov": False},
        ours={"decoupledWeightDecay": False},
        counts=False,
    ),
    Momentum=Entry(
        "SGD",
        "lr momentum dampening weight_decay maximize",
        "momentum_buffer",
        fixed={"nesterov": False},
        ours=SGD_OURS,
        counts=False,
    ),
    NAG=Entry(
        "SGD",
        "lr momentum weight_decay maximize",
        "momentum_buffer",
        fixed={"nesterov": True, "dampening": 0},
        ours=SGD_OURS,
        counts=False,
    ),
    Adam=Entry("Adam", ADAM, ADAM_STATES, fixed={"decoupled_weight_decay": False}, uses=AMSGRAD),
    AMSGrad=Entry(
        "Adam",
        "lr betas eps weight_decay maximize",
        ADAM_STATES,
        fixed={"amsgrad": True, "decoupled_weight_decay": False},
    ),
    AdamW=Entry("AdamW", ADAM, ADAM_STATES, fixed={"decoupled_weight_decay": True}, ours=ADAMW_OURS, uses=AMSGRAD),
    NAdam=Entry(
        "NAdam",
        "lr betas eps momentum_decay weight_decay decoupled_weight_decay maximize",
        "exp_avg exp_avg_sq",
        scalars=("mu_product",),
    ),
    RAdam=Entry(
        "RAdam",
        "lr betas eps weight_decay decoupled_weight_decay maximize",
        "exp_avg exp_avg_sq",
        ours={"rhoThreshold": 5, "degenerateToSgd": True},
    ),
    RMSprop=Entry(
        "RMSprop",
        "lr alpha eps weight_decay momentum centered maximize",
        "square_avg grad_avg momentum_buffer",
        uses={"grad_avg": lambda group: group["centered"], "momentum_buffer": lambda group: group["momentum"] > 0},
        ours={"epsInsideSqrt": False, "lrInMomentum": False, "initialAccumulatorValue": 0},
    ),
    AdaGrad=Entry(
        "Adagrad",
        "lr lr_decay weight_decay initial_accumulator_value eps maximize",
        "sum",
        ours={"epsInsideSqrt": False},
        from_the_start=True,
    ),
    Muon=Entry(
        "Muon",
        "lr momentum nesterov weight_decay ns_coefficients eps ns_steps adjust_lr_fn",
        "momentum_buffer",
        renamed={"eps": "nsEps", "adjust_lr_fn": "adjustLr"},
        values={
            "adjust_lr_fn": {None: "original", "original": "original", "match_rms_adamw": "matchRmsAdamw"},
        },
        ours={
            "algorithm": "muon",
            "nsDtype": "bfloat16",
            "nsForm": "standard",
            "cudaMode": "auto",
            "workspaceBytes": 2**29,
            "split": 1,
            "maximize": False,
        },
        counts=False,
    ),
)
#: The other parameters of Muon, which torch has in an AdamW of their own.
CLASSES["Muon/adamw"] = Entry(
    "AdamW",
    ADAM,
    ADAM_STATES,
    fixed={"decoupled_weight_decay": True},
    ours={"algorithm": "adamw", **ADAMW_OURS},
    uses=AMSGRAD,
)


def sgd_class(groups):
    nesterov = {bool(group["nesterov"]) for group in groups}
    if len(nesterov) > 1:
        raise Refused("Expected all groups with nesterov or all without: they are different classes here.")
    if nesterov == {True}:
        return "NAG"
    return "Momentum" if any(group["momentum"] != 0 for group in groups) else "SGD"


def class_of_state_dict(state_dict, chosen=None):
    """Our class for a torch state dict, which does not name its own; its options tell."""
    groups = state_dict["param_groups"]
    first = groups[0]
    marks = {"ns_steps": "Muon", "momentum_decay": "NAdam", "lr_decay": "AdaGrad", "centered": "RMSprop"}
    found = next((name for mark, name in marks.items() if mark in first), None)
    if "nesterov" in first and found is None:
        found = sgd_class(groups)
    elif "amsgrad" in first:
        found = adam_class(first, chosen)
        if chosen == "AMSGrad" and found == "Adam" and all(group["amsgrad"] for group in groups):
            return chosen
    elif "betas" in first and found is None:
        found = "RAdam"
    if found is None:
        raise Refused("Expected the state dict of an optimizer that is here too but its options are of another one.")
    if chosen not in (None, found):
        raise Refused(f"Expected the state dict of {chosen} but its options are those of {found}.")
    return found


def adam_class(group, chosen):
    if "decoupled_weight_decay" in group:
        return "AdamW" if group["decoupled_weight_decay"] else "Adam"
    if chosen is None:
        raise Refused("Expected --class Adam or AdamW: the state dict of a torch before 2.7 does not say which it is.")
    return "AdamW" if chosen == "AdamW" else "Adam"
