#!/bin/sh
# Stands for every tool that a tree's Makefile may call to build: it is found under each
# tool's name, such as riscv64-unknown-elf-gcc, and calls the real one. On the way
#   - warnings are no errors, whatever the tree says: newer compilers warn of more;
#   - there is debug information, and frames have pointers, for that is how Faultline
#     tells where a page came from;
#   - the kernel is linked with the shim. If that cannot be done, without;
#   - the file that defines kalloc() has its own calls of kalloc() and kfree() sent to the shim,
#     for ld --wrap leaves alone what is called where it is defined; or else is compiled as
#     it is. What serves copy on write, and calls them, often stands there;
#   - the kernel's loops of a few rounds are written out; not those of programs, which would then
#     leave too little room in a file system of a thousand blocks;
#   - string.c has its loops unrolled, or else is compiled as it is: in it is xv6's memset(),
#     which fills each page byte by byte, again and again. Where QEMU counts instructions, what
#     it does at the start of each round costs several times as much as storing a byte.
# Beside this file: settings (CROSS: the real tools' prefix; GCC: options that it knows;
# PEEL: those that write short loops out; UNROLL: those that unroll any), inside.h, and
# shim-*.o, one for each ABI that a tree may be compiled for.
set -f
here=${0%/*}
called=${0##*/}
tool=${called##*-}
# shellcheck source=/dev/null
. "$here/settings"

# Have a file of assembler that defines a function call another in its stead, except from
# kalloc() and kfree() themselves. That other name stands for the function, too, but weakly:
# the shim's takes its place, and a kernel without the shim calls the function.
send() {
  grep -q "^$1:" "$3" && sed -E -i "
    /^(kalloc|kfree):/,/^\\s*\\.size\\s/! s/^(\\s*(call|tail)\\s+)$1(@plt)?\$/\\1$2/
    s/^$1:\$/.weak $2; .type $2, @function; $2:\\n&/" "$3"
}

case $called in
gcc | cc) exec /usr/bin/gcc "$@" -Wno-error ;;
inside-as) # in place of the assembler, with the compiler's output last; see -B below
  for last; do :; done
  case $last in
  *.s)
    send kalloc __wrap_kalloc "$last"
    send kfree faultline_kfree_inside "$last"
    ;;
  esac
  exec "${CROSS}as" "$@"
  ;;
esac

# A line that begins the definition of kalloc(), or looks like it.
definition='^[[:alpha:]_*[:space:]]*\<kalloc *\([[:alpha:] ]*\)[[:space:]]*(\{|/|$)'

# Whether this links the kernel: with kernel.ld, or to a file of the kernel's name.
output='' script='' previous='' links=yes fills='' defines='' short=''
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
  *.c) grep -qsE -e "$definition" -- "$word" && defines=yes ;;
  esac
  case $word in
  kernel/*.c | */kernel/*.c) short=$PEEL ;;
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
  options="$GCC $short"
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
if [ "$defines" ] && [ "$options" ] && [ ! "$links" ]; then
  # shellcheck disable=SC2086
  "$CROSS$tool" "$@" $options -include "$here/inside.h" -B "$here/inside-" 2>/dev/null && exit 0
fi
# shellcheck disable=SC2086
exec "$CROSS$tool" "$@" $options
