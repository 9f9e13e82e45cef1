#include "user/match.h"

static bool
accepts(char pattern, char c)
{
  return c != '\0' && (pattern == '.' || pattern == c);
}

// Does the pattern match from the first character of text on?
static bool
match_start(const char *pattern, const char *text)
{
  while (*pattern) {
    if (pattern[0] == '$' && !pattern[1])
      return *text == '\0';
    if (pattern[1] == '*') {
      int run = 0;
      while (accepts(pattern[0], text[run]))
        run++;
      for (; run >= 0; run--)
        if (match_start(pattern + 2, text + run))
          return true;
      return false;
    }
    if (!accepts(*pattern, *text))
      return false;
    pattern++;
    text++;
  }
  return true;
}

// Does the pattern match anywhere in text?
bool
match(const char *pattern, const char *text)
{
  if (*pattern == '^')
    return match_start(pattern + 1, text);
  do {
    if (match_start(pattern, text))
      return true;
  } while (*text++);
  return false;
}
