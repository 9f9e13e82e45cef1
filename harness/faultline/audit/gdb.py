"""What several rules' gdb commands begin with. PID, ADDRESS and PAGE are the finding's."""

# Stand still in the probe's pose, with $p the process: there every hart is in scheduler(), so
# that gdb can call walk().
AT_POSE = (
    "continue     # at the shell: probe x pose, Enter until the pose; then ctrl-C\n"
    "set $p = proc\n"
    "while $p->pid != PID && $p < proc + 64\n"
    "set $p = $p + 1\n"
    "end\n"
)

# The same while the finding's page is still in use. Its number depends on the harts and on
# what is linked in, so it is not the one that the finding names.
BEFORE_POSE = (
    "continue     # at the shell: probe x pose; at the pose before, ctrl-C\n"
    "set $p = proc\n"
    "while $p->pid != PID && $p < proc + 64\n"
    "set $p = $p + 1\n"
    "end\n"
)

# Stop where an address is mapped, in whatever table.
MAPPED = (
    "break mappages if va <= ADDRESS && ADDRESS - va < size\n"
    "continue     # then do what the finding did\n"
)
