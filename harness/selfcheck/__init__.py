"""What holds on a device: its arithmetic against that of the CPU in float64, and which bits depend on a member's company."""
