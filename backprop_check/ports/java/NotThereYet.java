/** The case asks for something that this program has not learnt: it is skipped, which is no failure. */
@SuppressWarnings("serial") // it never leaves this program
final class NotThereYet extends RuntimeException {
    NotThereYet(String what) {
        super(what + " is not there yet");
    }
}
