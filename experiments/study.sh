# What every study begins with; each run.sh sources it. From then on the working folder is the repository's, an error ends
# the script, and each process has one thread: small networks on many threads spend their time waiting for each other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

needs_data() { # what must lie in the folder of data and weights
    if [ -z "${DIFFIG_SHARED_DATA:-}" ]; then
        echo "DIFFIG_SHARED_DATA is not set; set it to the folder with $*" >&2
        exit 2
    fi
}

choice() { # name, value, the values there are: prints the value, or says which there are
    local name=$1 value=$2 known
    shift 2
    for known in "$@"; do
        if [ "$value" = "$known" ]; then
            echo "$value"
            return
        fi
    done
    echo "$name=$value is unknown; choose one of: $*" >&2
    return 2
}

say() { # a message with the time
    echo "$(date +%T)  $*" >&2
}

logged() { # file, command: what the command says goes to the file, which is shown where it fails
    local log=$1
    shift
    "$@" >"$log" 2>&1 || {
        echo "failed: $1; $log ends with" >&2
        tail -n 5 "$log" >&2
        return 1
    }
}
