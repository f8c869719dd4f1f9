# bash completion for kpropctl and kpropctl-agent. All words are asked of the programs themselves, which have them from
# their tables; hosts are the known replicas.

# The command or verb among the words before the cursor, behind options of the program itself.
_kpropctl_command()
{
    local i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            -r | -c | --realm | --config) i=$((i + 1)) ;;
            -*) ;;
            *)
                echo "${COMP_WORDS[i]}"
                return
                ;;
        esac
    done
}

_kpropctl_options()
{
    grep -E '^  -' | sed -E 's/^(  -[^ ]*( --[^ ]*)?).*/\1/' | grep -oE -- '--?[A-Za-z][A-Za-z-]*'
}

_kpropctl()
{
    local program=$1 word=$2 command words
    command=$(_kpropctl_command)
    if [ -z "$command" ]; then
        case $word in
            -*) words=$("$program" --help | _kpropctl_options) ;;
            *) words=$("$program" --help | sed -nE '/^options:/q; s/^  ([a-z][a-z-]*)( .*)?$/\1/p') ;;
        esac
    else
        case $word in
            -*) words=$("$program" "$command" --help | _kpropctl_options) ;;
            *) words=$("$program" list --json 2>/dev/null | sed -nE 's/^ *"host": "([^"]*)",?$/\1/p') ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

_kpropctl_agent()
{
    local program=$1 word=$2 words=
    if [ -z "$(_kpropctl_command)" ]; then
        case $word in
            -*) words=$("$program" -h | _kpropctl_options) ;;
            *) words=$("$program" -h | sed -nE '1,/^Verbs:/d; s/^  ([a-z][a-z-]*)( .*)?$/\1/p') ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _kpropctl kpropctl
complete -F _kpropctl_agent kpropctl-agent
