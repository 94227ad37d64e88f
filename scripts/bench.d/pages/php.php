<?php
// The race's tasks with PHP's own sessions.
header('Content-Type: text/plain');
session_save_path(getenv('BENCH_DIR'));
ini_set('session.use_strict_mode', '1');

switch ($task = getenv('QUERY_STRING')) {
case 'init':
    session_start();
    $_SESSION = json_decode(file_get_contents(getenv('BENCH_DATA')), true);
    break;
case 'first':
    session_start();
    break;
case 'get':
    session_start(['read_and_close' => true]);
    echo $_SESSION['name'], "\n";
    break;
default:
    session_start();
    $visits = ++$_SESSION['visits'];
    session_write_close();
    echo $task === 'page' ? "Hello {$_SESSION['name']}, visit $visits.\n" : "$visits\n";
}
