# What the scripts here share; they source this. AWS's tools are installed in the target directory.

# shellcheck source=tests/clients/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/../clients/prepare.sh"

EMULATOR=$HOUSE_BUILDS/emulator
requirements=tests/emulator/requirements.txt
if ! is_made "$requirements" "$EMULATOR"; then
  python3 -m venv --clear "$EMULATOR"
  "$EMULATOR/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$EMULATOR/made-from"
fi
export EMULATOR PATH="$EMULATOR/bin:$PATH" SAM_CLI_TELEMETRY=0
