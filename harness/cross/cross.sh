#!/bin/sh
# Stands for every tool that a tree's Makefile may call to build: it is found under each
# tool's name, such as riscv64-unknown-elf-gcc, and calls the real one. On the way
#   - warnings are no errors, whatever the tree says: newer compilers warn of more;
#   - there is debug information, and frames have pointers, for that is how Faultline
#     tells where a page came from;
#   - the kernel is linked with the shim. If that cannot be done, without;
#   - string.c has its loops unrolled, or else is compiled as it is: in it is xv6's memset(),
#     which fills each page byte by byte, again and again. Where QEMU counts instructions, what
#     it does at the start of each round costs several times as much as storing a byte.
# Beside this file: settings (CROSS: the real tools' prefix; GCC: options that it knows;
# UNROLL: those that unroll loops), and shim-*.o, one for each ABI that a tree may be
# compiled for.
set -f
here=${0%/*}
called=${0##*/}
tool=${called##*-}
# shellcheck source=/dev/null
. "$here/settings"

case $called in
gcc | cc) exec /usr/bin/gcc "$@" -Wno-error ;;
esac

# Whether this links the kernel: with kernel.ld, or to a file of the kernel's name.
output='' script='' previous='' links=yes fills=''
for word in "$@"; do
  case $previous in
  -o) output=$word ;;
  -T) script=$word ;;
  esac
  case $word in
  -c | -S | -E | -M | -MM | -v | --version | -dump* | -print*) links='' ;;
  -T?*) script=${word#-T} ;;
  --script=*) script=${word#--script=} ;;
  -Wl,-T,*) script=${word#-Wl,-T,} ;;
  -o?*) output=${word#-o} ;;
  string.c | */string.c) fills=yes ;;
  esac
  previous=$word
done
case ${script##*/},${output##*/} in
kernel.ld,* | *,kernel | *,kernel.elf) kernel=yes ;;
*) kernel='' ;;
esac

case $tool in
ld)
  wrap='--wrap=kalloc --wrap=kfree --wrap=sys_uptime'
  options=''
  ;;
gcc | cc)
  wrap='-Wl,--wrap=kalloc,--wrap=kfree,--wrap=sys_uptime'
  options=$GCC
  ;;
*) exec "$CROSS$tool" "$@" ;;
esac

if [ "$links" ] && [ "$kernel" ]; then
  for shim in lp64d lp64; do
    # shellcheck disable=SC2086 # the options are several words
    "$CROSS$tool" "$@" $options $wrap "$here/shim-$shim.o" 2>/dev/null && exit 0
  done
  echo 'faultline: the kernel cannot be linked with the shim' >&2
fi
if [ "$fills" ] && [ "$options" ]; then
  # shellcheck disable=SC2086
  "$CROSS$tool" "$@" $options $UNROLL 2>/dev/null && exit 0
fi
# shellcheck disable=SC2086
exec "$CROSS$tool" "$@" $options
