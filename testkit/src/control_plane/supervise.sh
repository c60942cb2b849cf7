# Runs one program, and kills it when the process that started this script ends.
#
# supervise.sh PID_FILE REMOVE PROGRAM ARGUMENTS...
#
# Standard input is a pipe that our parent holds open and never writes to: it closes whatever way the
# parent ends, SIGKILL included. Then the program is killed, and REMOVE, unless empty, is removed.
# If the program ends by itself, so does this script, with the same status, and nothing is removed:
# the parent will want to read the log.
pid_file=$1
remove=$2
shift 2

exec 3<&0 </dev/null
"$@" 3<&- &
program=$!
echo "$program" >"$pid_file"

# Once the pipe has closed, the main shell's TERM (below) comes too late to stop the killing.
(
    read -r _ <&3
    trap '' TERM
    kill -9 "$program"
    exit 0
) &
watcher=$!
exec 3<&-

wait "$program"
status=$?
# Left alone, the watcher would one day kill a stranger that was given the same process id.
kill "$watcher" 2>/dev/null
if wait "$watcher" && [ -n "$remove" ]; then
    rm -rf "$remove"
fi
exit "$status"
