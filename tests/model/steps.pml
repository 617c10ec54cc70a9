/* Made by print_steps from aggregate/migration/steps.c; tests/model/check holds them together. */
#define STEP_COUNT 12
#define COMMIT_AFTER 8
#define STEP_POLICY 1
#define STEP_RESERVE 2
#define STEP_SIGNAL 3
#define STEP_CHECK 4
#define STEP_NETWORK 5
#define STEP_COPY 6
#define STEP_STOP 7
#define STEP_CONFIRM 8
#define STEP_RELEASE 9
#define STEP_ACTIVATE 10
#define STEP_LINK 11
#define STEP_OPENFLOW 12
#define HAS_UNDO(n) (0 || (n) == 2 || (n) == 4 || (n) == 5 || (n) == 6 || (n) == 7 || (n) == 8)
