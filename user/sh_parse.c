// From a line to commands, by recursive descent: one function for each rule in sh.h.
#include "user/user.h"
#include "user/sh.h"
#include "kernel/fcntl.h"

static struct command *parse_list(struct parse *p);

static bool
blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
ends_word(char c)
{
  return c == '\0' || blank(c) || strchr("|<>;&()", c) != 0;
}

// Remember the first error only: the others follow from it.
static void *
error(struct parse *p, const char *what)
{
  if (!p->error) {
    p->error = what;
    p->error_near = p->at;
  }
  return 0;
}

// The next character that is not blank.
static char
peek(struct parse *p)
{
  while (blank(*p->at))
    p->at++;
  return *p->at;
}

static bool
accept(struct parse *p, char c)
{
  if (peek(p) != c)
    return false;
  p->at++;
  return true;
}

// Copy the word at p->at, without its quotes. Words together are never longer than the
// line, so p->text has room for them if it has room for the line.
static char *
parse_word(struct parse *p)
{
  char *word = p->text + p->ntext;
  while (!ends_word(*p->at)) {
    char quote = *p->at == '"' || *p->at == '\'' ? *p->at : '\0';
    if (!quote) {
      p->text[p->ntext++] = *p->at++;
      continue;
    }
    if (!strchr(p->at + 1, quote))
      return error(p, "quote without its end");
    for (p->at++; *p->at != quote; p->at++)
      p->text[p->ntext++] = *p->at;
    p->at++;
  }
  p->text[p->ntext++] = '\0';
  return word;
}

static struct command *
new_command(struct parse *p)
{
  if (p->ncommands == SH_COMMANDS)
    return error(p, "too many commands in one line");
  struct command *c = &p->commands[p->ncommands++];
  memset(c, 0, sizeof(*c));
  return c;
}

// Redirections are kept in the order of the line: of two for one fd the last counts.
static bool
parse_redirection(struct parse *p, struct command *c)
{
  if (p->nredirections == SH_REDIRECT)
    return error(p, "too many redirections in one line");
  struct redirection *r = &p->redirections[p->nredirections++];
  memset(r, 0, sizeof(*r));
  if (accept(p, '<')) {
    r->fd = 0;
    r->flags = O_RDONLY;
  } else {
    p->at++; // the caller saw it
    r->fd = 1;
    r->append = *p->at == '>';
    if (r->append)
      p->at++;
    r->flags = r->append ? O_RDWR | O_CREATE : O_WRONLY | O_CREATE | O_TRUNC;
  }
  if (ends_word(peek(p)))
    return error(p, "no file name after < or >");
  r->path = parse_word(p);
  struct redirection **link = &c->redirections;
  while (*link)
    link = &(*link)->next;
  *link = r;
  return r->path != 0;
}

static struct command *
parse_command(struct parse *p)
{
  struct command *c = new_command(p);
  if (!c)
    return 0;
  if (accept(p, '(')) {
    if (p->depth == SH_DEPTH)
      return error(p, "too many ( inside each other");
    p->depth++;
    c->group = parse_list(p);
    p->depth--;
    if (p->error)
      return 0;
    if (!accept(p, ')'))
      return error(p, "( without )");
    if (!c->group)
      return error(p, "nothing between ( and )");
  }
  for (;;) {
    char next = peek(p);
    if (next == '<' || next == '>') {
      if (!parse_redirection(p, c))
        return 0;
    } else if (ends_word(next)) {
      break;
    } else if (c->group) {
      return error(p, "word after )");
    } else if (c->argc == SH_ARGS) {
      return error(p, "too many words in one command");
    } else if (!(c->argv[c->argc++] = parse_word(p))) {
      return 0;
    }
  }
  if (peek(p) == '(')
    return error(p, "( in the middle of a command");
  if (!c->group && c->argc == 0)
    return error(p, "command expected");
  return c;
}

static struct command *
parse_pipeline(struct parse *p)
{
  struct command *first = parse_command(p);
  for (struct command *last = first; last && accept(p, '|'); last = last->pipe)
    last->pipe = parse_command(p);
  return first;
}

// 0 for an empty list, and after an error.
static struct command *
parse_list(struct parse *p)
{
  struct command *first = 0;
  struct command **link = &first;
  while (peek(p) != '\0' && peek(p) != ')') {
    if (accept(p, ';'))
      continue;
    struct command *pipeline = parse_pipeline(p);
    if (p->error)
      return 0;
    *link = pipeline;
    link = &pipeline->next;
    if (accept(p, '&'))
      pipeline->background = true;
    else if (peek(p) != ';' && peek(p) != '\0' && peek(p) != ')')
      return error(p, "; or & or | expected");
  }
  return first;
}

// True with *list set (0 for a blank line), or false with p->error and p->error_near.
bool
sh_parse(struct parse *p, const char *line, struct command **list)
{
  p->at = line;
  p->error = 0;
  p->error_near = 0;
  p->depth = 0;
  p->ncommands = 0;
  p->nredirections = 0;
  p->ntext = 0;
  *list = 0;
  if (strlen(line) >= SH_LINE) {
    error(p, "line too long");
    return false;
  }
  *list = parse_list(p);
  if (!p->error && peek(p) == ')')
    error(p, ") without (");
  return !p->error;
}
