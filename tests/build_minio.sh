#!/usr/bin/env bash
# Builds MinIO's community edition into .tools/minio for the integration tests. It ships as source only.
# Without Go it says so and succeeds: the tests then run on SeaweedFS alone.
set -euo pipefail

# The archived repository's last commit, newer than the fix of CVE-2025-62506. Release tags
# (RELEASE.2025-…) are no versions to Go modules, hence the pseudo-version.
version=v0.0.0-20260212201848-7aac2a2c5b7c

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Outside the clone: the build takes minutes, and a CI clones afresh each time.
built=${XDG_CACHE_HOME:-$HOME/.cache}/fraud_assets/minio-$version

if [[ -n "${FRAUD_MINIO_BINARY:-}" ]]; then
  echo "MinIO: FRAUD_MINIO_BINARY names a binary, nothing to build"
  exit 0
fi
if [[ ! -x $built/minio ]]; then
  if ! command -v go >/dev/null; then
    echo "MinIO skipped: no Go"
    exit 0
  fi
  echo "MinIO: building $version (minutes, once a machine)"
  mkdir -p "$built"
  # Built beside its place and renamed: an interrupted or a parallel build leaves no half of a binary.
  part=$(mktemp -d "$built/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  GOBIN=$part GOFLAGS=-buildvcs=false CGO_ENABLED=0 go install "github.com/minio/minio@$version"
  mv "$part/minio" "$built/minio"
fi
mkdir -p "$repository/.tools"
ln -sfn "$built/minio" "$repository/.tools/minio"
echo "MinIO: $version in .tools/minio"
