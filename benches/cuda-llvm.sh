#!/bin/sh
# LLVM for building with CUDA, from Debian's packages alone: sh benches/cuda-llvm.sh FOLDER
#
# CubeCL's CUDA backend compiles with an LLVM of its own, which its build script downloads from GitHub unless it finds one installed. This lays that
# installation out from the Debian mirror that apt uses already, so that a machine behind a firewall can build:
#
#   eval "$(sh benches/cuda-llvm.sh FOLDER)"
#   cargo build --release --locked --features cuda
#
# Nothing is installed; all goes into FOLDER (about 1 GB), and what is there is not fetched again. Known to work on Debian 12 with its LLVM 23 of sid. Needs apt, dpkg, gcc, and
# for linking libz3-dev, libxml2-dev and zlib1g-dev.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# = 1 ] || { echo "usage: sh benches/cuda-llvm.sh FOLDER" >&2; exit 2; }
for tool in apt-get dpkg gcc ar; do
  command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 3; }
done

# Which LLVM the build script looks for: 23.1.0-4, say.
version=$(awk '/^name = "tracel-llvm-bundler"$/ { getline; gsub(/[^0-9.-]/, "", $3); print $3 }' "$here/../Cargo.lock")
[ -n "$version" ] || { echo "Cargo.lock names no tracel-llvm-bundler" >&2; exit 3; }
major=${version%%.*}
mkdir -p "$1"
root=$(cd "$1" && pwd)
triple=$(gcc -dumpmachine)
prefix=$root/xdg/tracel/tracel-llvm-$version
answer() { echo "export XDG_DATA_HOME='$root/xdg' LIBRARY_PATH='$root/lib:$root/root/usr/lib/$triple'"; }
if [ -e "$prefix/.tracel-llvm-installed" ]; then
  answer
  exit 0
fi

# Lists and archives of their own, so that apt's are as they were.
mkdir -p "$root/apt/state/lists/partial" "$root/apt/cache/archives/partial" "$root/deb" "$root/lib" "$prefix/bin"
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
[ -n "$mirror" ] || { echo "apt names no Debian mirror in /etc/apt/sources.list and sources.list.d" >&2; exit 3; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > "$root/apt/sources.list"
sid() {
  apt-get -o Dir::State="$root/apt/state" -o Dir::Cache="$root/apt/cache" -o Dir::Etc::sourcelist="$root/apt/sources.list" \
    -o Dir::Etc::sourceparts=/dev/null "$@" >&2
}
cd "$root/deb"
sid update
sid download "llvm-$major-dev" "llvm-$major" "libllvm$major"
apt-get download libzstd-dev >&2
for package in *.deb; do dpkg -x "$package" "$root/root"; done

# The build script calls bin/llvm-config and nothing else. Shared libraries by their paths become -l options, and Polly is linked dynamically anyway.
cat > "$prefix/bin/llvm-config" <<WRAPPER
#!/bin/sh
out=\$('$root/root/usr/lib/llvm-$major/bin/llvm-config' "\$@") || exit \$?
case " \$* " in *" --system-libs "*) out="\$out -lisoc23" ;; esac
printf '%s\n' "\$out" | sed -E 's#/[^ ]*/lib([a-z0-9]+)\.so#-l\1#g; s#-lPolly(ISL)?( |\$)#\2#g'
WRAPPER
chmod +x "$prefix/bin/llvm-config"

# sid's libraries were built against a newer glibc; these three names are all that Debian 12 lacks.
cat > isoc23.c <<'C'
long strtol(const char *, char **, int);
long long strtoll(const char *, char **, int);
unsigned long long strtoull(const char *, char **, int);
long __isoc23_strtol(const char *text, char **end, int base) { return strtol(text, end, base); }
long long __isoc23_strtoll(const char *text, char **end, int base) { return strtoll(text, end, base); }
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }
C
gcc -O2 -c isoc23.c -o isoc23.o
ar rcs "$root/lib/libisoc23.a" isoc23.o
"$prefix/bin/llvm-config" --version >&2
# Last: what is not finished is begun again.
: > "$prefix/.tracel-llvm-installed"
answer
