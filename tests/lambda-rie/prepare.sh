# What the scripts here share; they source this. AWS's tools are installed in the target directory.

# shellcheck source=tests/clients/prepare.sh
source "$(dirname "${BASH_SOURCE[0]}")/../clients/prepare.sh"

EMULATOR=$HOUSE_BUILDS/emulator
install_python tests/lambda-rie/requirements.txt "$EMULATOR"
build_house
export EMULATOR PATH="$EMULATOR/bin:$PATH" SAM_CLI_TELEMETRY=0
