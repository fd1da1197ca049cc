# Sourced by the scripts beside it: makes .venv and installs the package with extras, once.
# A second run installs nothing and asks for no network, until pyproject.toml or the lists of packages change.

python_for_venv() {
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "No Python 3.11 or newer was found. Install one, or name it: PYTHON=/path/to/python $0" >&2
    return 1
}

# install_extras EXTRAS: makes sure that .venv holds this checkout with these extras (comma-separated), of the versions and
# with the hashes of scripts/locked.
install_extras() {
    local stamp=.venv/installed-$1 list=scripts/locked/${1//,/-}.txt python wanted
    # With the folder: what was moved or copied would test the checkout that it came from.
    wanted="$PWD $(cat pyproject.toml scripts/locked/{build,torch-cpu,cuda}.txt "$list" | cksum)"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    # Also those of other extras, whose packages may change now: an installation that is interrupted counts as none.
    rm -f .venv/installed-*
    python=$(python_for_venv)
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        echo "Making .venv with $("$python" --version)" >&2
        "$python" -m venv --clear .venv
    fi
    echo "Installing sr-datasets[$1] into .venv (a minute or two)" >&2
    # What builds comes first, so that nothing is built with what no hash vouches for.
    install_locked scripts/locked/build.txt || not_installed
    install_locked scripts/locked/torch-cpu.txt 2>/dev/null || true # where pip finds no such file, the list has another
    install_locked "$list" || not_installed
    # Of PyTorch's builds only that for CUDA needs NVIDIA's libraries: several GB.
    if grep -qi '^Requires-Dist: nvidia' .venv/lib/python*/site-packages/torch-*.dist-info/METADATA; then
        install_locked scripts/locked/cuda.txt || not_installed
    fi
    pip_install --no-deps --editable . || not_installed
    printf '%s' "$wanted" >"$stamp"
}

not_installed() {
    echo "The packages were not installed: pip says above why. Where it did not reach an index, the same command goes on with" \
        "what came; pip's configuration file can name a mirror." >&2
    exit 1
}

install_locked() {
    pip_install --require-hashes --no-deps --requirement "$1"
}

pip_install() {
    # -I: a pip or PYTHONPATH setting of the user's must not leak into the environment that we test.
    .venv/bin/python -I -m pip install --quiet --disable-pip-version-check --no-build-isolation --timeout 30 "$@"
}
