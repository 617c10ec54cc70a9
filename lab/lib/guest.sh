# Running commands in a lab guest, through the shell on its serial line.
# shellcheck shell=bash

GUEST_WAIT_S=${JOGAK_LAB_GUEST_WAIT_S:-60}

# guest_run HOST DOMAIN COMMAND: prints what the command printed and returns its exit status.
# The marks are written in two halves, so that the terminal's echo of the command does not look like one.
guest_run() {
    local host=$1 domain=$2 pty line status
    pty=$(host_exec "$host" virsh -q ttyconsole "$domain") || die "$host has no running domain $domain"
    exec 8<>"$pty" 9>&-
    flock -w "$GUEST_WAIT_S" 8 || die "somebody else uses the serial line of $domain"
    stty -F "$pty" raw -echo
    while read -r -t 0.01 line <&8; do :; done # whatever was printed before
    printf ' echo "<<""begin>>"; %s\n echo "<<""end $?>>"\n' "$3" >&8
    while read -r -t "$GUEST_WAIT_S" line <&8; do
        line=${line%$'\r'}
        case $line in
        *'<<begin>>') break ;;
        esac
    done
    while read -r -t "$GUEST_WAIT_S" line <&8; do
        line=${line%$'\r'}
        if [[ $line =~ ^(.*)'<<end '([0-9]+)'>>'$ ]]; then
            status=${BASH_REMATCH[2]}
            return "$status"
        fi
        [[ $line == *'echo "<<""end'* ]] || printf '%s\n' "$line"
    done
    die "the shell of $domain did not answer within $GUEST_WAIT_S s"
}
