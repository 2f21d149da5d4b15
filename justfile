# Tasks for developers. `just` lists them; CONTRIBUTING.md explains when to run which tests.

# List the tasks
default:
    @just --list --unsorted

# Check that the whole workspace compiles
check:
    cargo check --workspace --all-targets --locked

# Format the Rust code
fmt:
    cargo fmt --all

# Run the checks that need no test: format, spelling, links, template, clippy, rustdoc
lint:
    .ci/run format spelling docs workflows template clippy rustdoc

# Write the files that are generated from functions/*/function.yaml and infra/
generate:
    cargo xtask generate

# Serve all endpoints at http://127.0.0.1:8008
run *ARGS:
    cargo run -- {{ ARGS }}

# Run the Rust tests without the slow groups (needs cargo-nextest)
test-quick *ARGS:
    cargo nextest run --workspace --profile quick {{ ARGS }}

# Run all Rust tests with cargo-nextest
test-full *ARGS:
    cargo nextest run --workspace --profile full {{ ARGS }}

# Run all Rust tests (needs only Rust and a C compiler)
test *ARGS:
    cargo test --workspace {{ ARGS }}

# Run everything that CI runs
test-all:
    .ci/run

# Run steps of CI, for example `just ci browser clients`
ci *STEPS:
    .ci/run {{ STEPS }}

# Test the pages in headless Chromium
test-browser *ARGS:
    tests/browser/run {{ ARGS }}

# Test with the client libraries js, nio and rust-sdk
test-clients *ARGS:
    tests/clients/run {{ ARGS }}

# Test with Synapse behind Gatehouse; `just test-homeserver --serve` keeps both running for a client such as Element
test-homeserver *ARGS:
    tests/homeserver/run {{ ARGS }}

# Test the handlers with DynamoDB Local and moto
test-dynamodb *ARGS:
    tests/dynamodb-compat/run {{ ARGS }}

# Check template.yaml (`lint`) or deploy it to moto (`deploy`); both without an argument
test-infra *ARGS:
    tests/infra/run {{ ARGS }}

# Test with Sydent, an identity server
test-identity-server *ARGS:
    tests/identity-server/run {{ ARGS }}

# Test the functions under the Lambda runtime interface emulator
test-lambda-rie *ARGS:
    tests/lambda-rie/run {{ ARGS }}

# Register an account through `sam local start-api` (needs Docker)
test-sam-local *ARGS:
    tests/lambda-rie/start-api {{ ARGS }}

# Register an account through `cargo lambda watch`
test-lambda-watch *ARGS:
    tests/lambda-rie/watch {{ ARGS }}

# Run sytest; SYTEST is a checkout of it
test-sytest SYTEST *FILES:
    tests/sytest/run {{ SYTEST }} {{ FILES }}

# Run the timing side-channel test (needs an idle machine)
test-timing *ARGS:
    tests/timing/run {{ ARGS }}

# List the retired words that are left, by directory
words:
    .ci/check-words.py --summary

# Check the links and build the book in target/book
docs:
    .ci/run docs

# Build the documentation of the crates
rustdoc *ARGS:
    cargo doc --workspace --no-deps {{ ARGS }}

# Check licences, sources, bans and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check

# Run the admin CLI, for example `just admin users show alice`
admin *ARGS:
    cargo run --quiet --package gatehouse-admin -- {{ ARGS }}

# Start only the embedded AWS services, for `sam local` and `cargo lambda watch`
services *ARGS:
    cargo run -- services {{ ARGS }}

# Build the functions and serve them with `sam local start-api` (needs Docker and the services, see docs/development.md)
deploy-local *ARGS:
    sam build
    sam local start-api {{ ARGS }}

# Build the functions and deploy them to AWS; STAGE is a stage of samconfig.toml
deploy STAGE="default":
    sam build --config-env {{ STAGE }}
    sam deploy --config-env {{ STAGE }}
