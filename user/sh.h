// The shell's commands as its parser leaves them.
//
//   list     = [pipeline] { (";" | "&") [pipeline] }
//   pipeline = command { "|" command }
//   command  = "(" list ")" { redirection } | { word | redirection }
//   redirection = ("<" | ">" | ">>") word
//
// Words end at blanks and at the characters above; "..." and '...' keep them.
#pragma once

#include <stdbool.h>

#define SH_LINE     1024 // bytes of a line, with its final zero
#define SH_ARGS     31   // words of one command: what exec() takes
#define SH_COMMANDS 24   // commands of one line
#define SH_REDIRECT 24   // redirections of one line
#define SH_DEPTH    8    // "(" inside "("; the stack is one page

struct redirection {
  int fd;
  int flags;   // of open()
  bool append; // go to the file's end first
  char *path;
  struct redirection *next;
};

// Commands of a pipeline hang together by pipe, pipelines of a list by next.
struct command {
  int argc;
  char *argv[SH_ARGS + 1];
  struct command *group; // a list in parentheses, in place of argv
  struct redirection *redirections;
  struct command *pipe; // reads what this one writes
  struct command *next; // the next pipeline; only in the first command of a pipeline
  bool background;      // do not wait for this pipeline; in its first command
};

struct parse {
  const char *at;         // what was not read yet
  const char *error;      // why parsing stopped, or 0
  const char *error_near; // the place in the line
  int depth;
  int ncommands;
  int nredirections;
  int ntext;
  struct command commands[SH_COMMANDS];
  struct redirection redirections[SH_REDIRECT];
  char text[SH_LINE]; // the words, each with its final zero
};

bool sh_parse(struct parse *p, const char *line, struct command **list);
