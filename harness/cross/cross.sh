#!/bin/sh
# Stands for every tool that a tree's Makefile may call to build: it is found under each
# tool's name, such as riscv64-unknown-elf-gcc, and calls the real one. On the way
#   - warnings are no errors, whatever the tree says: newer compilers warn of more;
#   - there is debug information, and frames have pointers, for that is how Faultline
#     tells where a page came from;
#   - the kernel is linked with the shim. If that cannot be done, without;
#   - what the compiler makes of the kernel's files is rewritten: inside.py tells why. Of
#     the file that defines kalloc(), because ld --wrap leaves alone what is called where it
#     is defined, and what serves copy on write often stands there. Of others, because QEMU
#     takes long for what a processor does in no time;
#   - the kernel's loops of a few rounds are written out; not those of programs, which would
#     then leave too little room in a file system of a thousand blocks;
#   - string.c, spinlock.c and walk(), where kernels spend most of their time, are optimized.
# A file that cannot be compiled like that is compiled as it is.
# Beside this file: settings (CROSS: the real tools' prefix; GCC: options that it knows;
# KERNEL, STRING, SPINLOCK: those for the kernel's files, and for these two. Without KERNEL, a
# kernel's files are compiled as they are), inside.h, fill.h, walk.h, inside.py, and shim-*.o,
# one for each ABI that a tree may be compiled for.
set -f
here=${0%/*}
called=${0##*/}
tool=${called##*-}
# shellcheck source=/dev/null
. "$here/settings"

case $called in
gcc | cc) exec /usr/bin/gcc "$@" -Wno-error ;;
inside-as) # in place of the assembler, with the compiler's output last; see -B below
  for last; do :; done
  # shellcheck disable=SC2086 # several words
  case $last in
  *.s) /usr/bin/python3 -IS "$here/inside.py" "$last" $FAULTLINE_INSIDE || exit ;;
  *) exit 1 ;;
  esac
  exec "${CROSS}as" "$@"
  ;;
esac

# A line that begins the definition of kalloc(), or looks like it.
definition='^[[:alpha:]_*[:space:]]*\<kalloc *\([[:alpha:] ]*\)[[:space:]]*(\{|/|$)'

# Whether this links the kernel: with kernel.ld, or to a file of the kernel's name.
output='' script='' previous='' links=yes source='' defines=''
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
  kernel/*.c | */kernel/*.c | string.c | */string.c) source=$word ;;
  esac
  case $word in
  *.c) grep -qsE -e "$definition" -- "$word" && source=$word defines=yes ;;
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

# Compile the file beside the one that was asked for, of another name, to assembler; and no more.
beside() {
  from=$1 to=$2 out=$3 previous=''
  shift 3
  for word; do
    shift
    case $previous,$word in
    -o,* | *,-o | *,-o* | *,-c | -MF,* | *,-M*) ;;
    *,"$from") set -- "$@" "$to" ;;
    *) set -- "$@" "$word" ;;
    esac
    previous=$word
  done
  # shellcheck disable=SC2086
  "$CROSS$tool" "$@" $options -fno-section-anchors -S -o "$out" 2>/dev/null
}

if [ "$source" ] && [ "$KERNEL" ] && [ "$options" ] && [ ! "$links" ]; then
  inside="$KERNEL -B $here/inside-" FAULTLINE_INSIDE='' leaves='' declared=''
  case $source in
  *spinlock.c) # it asks again and again which processor this is
    leaves=$(mktemp) && beside "$source" "${source%spinlock.c}proc.c" "$leaves" "$@" &&
      FAULTLINE_INSIDE="leaves=$leaves"
    inside="$inside $SPINLOCK"
    ;;
  */vm.c) declared="-include $here/walk.h" ;;
  *string.c)
    FAULTLINE_INSIDE=fill
    inside="$inside $STRING"
    declared="-include $here/fill.h -Dmemset=faultline_memset"
    ;;
  esac
  if [ "$defines" ]; then
    FAULTLINE_INSIDE="$FAULTLINE_INSIDE send"
    inside="$inside -include $here/inside.h"
  fi
  export FAULTLINE_INSIDE
  for words in ${declared:+"$declared"} ''; do # the tree may declare these functions in another way
    # shellcheck disable=SC2086
    "$CROSS$tool" "$@" $options $inside $words 2>/dev/null
    status=$?
    [ "$status" = 0 ] && break
  done
  [ "$leaves" ] && rm -f "$leaves"
  [ "$status" = 0 ] && exit
fi
# shellcheck disable=SC2086
exec "$CROSS$tool" "$@" $options
