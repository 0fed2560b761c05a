"""The subcommands, one module each, which is imported where its command is run."""

COMMANDS = {
    "list": ("listing", "Show the suites with their cells, and the pairs with their arms."),
    "train": ("train", "Train the cells of a suite, or go on where training stopped."),
    "report": ("report", "Write the HTML report from the results."),
    "judge": ("judging", "Judge the suites' claims by the tests fixed beforehand."),
    "gate": ("gate", "Compare these results with the last release's."),
    "decide": ("deciding", "Add seeds until a group-sequential test decides a claim."),
    "plan": ("planning", "Say how many seeds a claim needs, and how long they take."),
    "cost": ("cost", "Say what training a suite takes: steps, hours, memory, disk."),
    "floor": ("floor", "Print what a policy that knows nothing reaches on a suite's tasks."),
    "policy": ("policy", "Write the trained policy of a member as ONNX or safetensors."),
    "watch": ("watch", "Run a trained policy in its task, and film it."),
    "audit": ("audit", "Recompute drawn members of a run, compare bit for bit."),
    "bench": ("bench", "Measure steps a second."),
    "selfcheck": ("selfcheck", "Check that a device computes as exactly as the CPU, and which bits it keeps."),
    "theory": ("theory", "Check the sources' exact statements with the code that trains."),
    "coverage": ("coverage", "Simulate what intervals cover and how often verdicts are false."),
    "import": ("importing", "Read runs of other libraries, and write a suite and its results."),
    "export": ("exporting", "Write a suite's curves as TensorBoard, Weights & Biases or tables read them."),
    "pipeline": ("pipeline", "Write the DVC files from the suites."),
}
"""Subcommand -> its module here, and the line that it has in the help."""
