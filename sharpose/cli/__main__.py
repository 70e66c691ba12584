from sharpose.cli import main

main()
