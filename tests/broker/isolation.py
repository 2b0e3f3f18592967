"""The conformance suite of the log on a real broker, and what its output has to say before it counts."""
import pathlib
import re
import subprocess
from dataclasses import dataclass

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BROKER = SOURCE / "tests/support/kafka/broker"
LONGEST_S = 900
END_S = 60  # for the brokers to stop
# Transactions, and who may go on with them: what the mock brokers cannot tell.
TRANSACTIONS = ("outputs_are_seen_only_after_the_commit", "what_was_not_committed_before_a_kill_is_never_seen",
                "every_input_has_exactly_one_output_over_many_kills", "an_abort_replays_the_records_with_the_committed_state",
                "two_inputs_are_both_read_and_committed_together", "a_restarted_instance_has_its_state_and_goes_on_behind_its_commit",
                "a_second_instance_takes_over_when_the_first_dies", "a_second_instance_takes_over_when_the_first_leaves")


@dataclass
class Outcome:
    status: object  # None: it took too long
    text: str

    @property
    def log(self):
        """Which log the suite says that it ran on."""
        found = re.search(r"^log: (\S+)", self.text, re.M)
        return found[1].rstrip(",") if found else "none"

    @property
    def on_kafka(self):
        return self.log.startswith("kafka:")

    @property
    def begun(self):
        return sum(map(int, re.findall(r"Running (\d+) test", self.text)))

    def named(self, mark):
        return re.findall(r"^\[ *" + mark + r" *\] (\w+)$", self.text, re.M)

    @property
    def held(self):
        return self.named("OK")

    @property
    def others(self):
        """Tests that failed, did not run to their end, or were skipped."""
        return sorted(set(self.named("(?:RUN|SKIPPED|FAILED|ERROR)")) - set(self.held) | set(self.named("SKIPPED")))

    @property
    def transactions(self):
        return [name for name in TRANSACTIONS if name in self.held]

    @property
    def ok(self):
        return (self.status == 0 and self.on_kafka and self.begun == len(self.held) > 0 and not self.others
                and len(self.transactions) == len(TRANSACTIONS))


def run(programs, broker=BROKER):
    # The broker's address is known only inside.
    inside = ["sh", "-c", 'VIGIA_TEST_LOG_URL="kafka:$VIGIA_KAFKA" exec "$0"', pathlib.Path(programs) / "tests/log_conformance"]
    process = subprocess.Popen([broker, "run", "-", "--", *inside], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    try:
        text = process.communicate(timeout=LONGEST_S)[0]
        return Outcome(process.returncode, text)
    except subprocess.TimeoutExpired as late:
        return Outcome(None, (late.stdout or b"").decode(errors="replace"))
    finally:
        if process.poll() is None:
            process.terminate()  # it stops its brokers
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()  # they end when it has ended
                process.wait()
        process.stdout.close()


def tell(result, outcome, raw):
    """The figures of an outcome; its lines into the file `raw`, if any."""
    if raw:
        pathlib.Path(raw).write_text(outcome.text[-100000:])
    on = outcome.log.split(":")[0]
    result.figure("isolation: the log that the conformance suite ran on", on, "", "kafka", outcome.on_kafka)
    result.figure("isolation: statements of the suite that hold on a real broker", f"{len(outcome.held) if outcome.on_kafka else 0} of {outcome.begun}", "",
                  "all", outcome.ok)
    result.figure("isolation: of these, named ones about transactions and who takes over",
                  f"{len(outcome.transactions) if outcome.on_kafka else 0} of {len(TRANSACTIONS)}", "", "all",
                  outcome.on_kafka and len(outcome.transactions) == len(TRANSACTIONS))
    if not outcome.ok:
        print("errors: isolation: " + ("took too long" if outcome.status is None else f"ended with {outcome.status}")
              + (f"; not held: {', '.join(outcome.others)}" if outcome.others else "") + "\n  " + "\n  ".join(outcome.text.splitlines()[-5:]))
